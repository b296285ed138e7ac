//! Compiles the two contracts with protox, so that no protoc is needed.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files =
        ["proto/banger/daemon/v1/daemon.proto", "proto/banger/roothelper/v1/roothelper.proto"];
    for file in files {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    // Each contract by itself: what root decodes is bounded in its entries.
    for file in descriptors.file {
        let codec = match file.package() {
            "banger.roothelper.v1" => "crate::bounded::BoundedCodec",
            _ => "tonic_prost::ProstCodec",
        };
        let one = prost_types::FileDescriptorSet { file: vec![file] };
        tonic_prost_build::configure().build_transport(false).codec_path(codec).compile_fds(one)?;
    }
    Ok(())
}
