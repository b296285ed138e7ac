//! The generated types of the two contracts, for server modules and conversions only.

/// `banger.daemon.v1`: what the command line asks of bangerd.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    clippy::missing_errors_doc,
    reason = "generated; the contract carries the documentation"
)]
pub mod daemon {
    tonic::include_proto!("banger.daemon.v1");
}

/// `banger.roothelper.v1`: what bangerd asks of root.
#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    reason = "generated; the contract carries the documentation"
)]
pub mod roothelper {
    tonic::include_proto!("banger.roothelper.v1");
}

/// Both contracts as an encoded `google.protobuf.FileDescriptorSet`, for tests that walk
/// the services.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
