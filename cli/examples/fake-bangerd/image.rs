//! What is told of every filesystem image.

use banger_proto::{Bytes, Ext4Attribute, Ext4Entry, Ext4Kind, Ext4Line};

fn entry(path: &[u8], kind: Ext4Kind) -> Ext4Line {
    Ext4Line::Entry(Box::new(Ext4Entry {
        path: Bytes(path.to_vec()),
        kind,
        mode: 0o644,
        uid: 0,
        gid: 42,
        size: 1234,
        allocated: 4096,
        links: 1,
        inode: 12,
        times: [1, 2, 3],
        target: (kind == Ext4Kind::Symlink).then(|| Bytes(b"no where".to_vec())),
        device: (kind == Ext4Kind::CharDevice).then_some((1, 3)),
    }))
}

/// What the worker says to a request.
pub(crate) fn lines(verb: &str) -> String {
    let attribute = |name: &str, value: &[u8]| Ext4Attribute {
        name: Bytes(name.into()),
        value: Bytes(value.to_vec()),
    };
    let told = match verb {
        "ls" | "ls-recursive" => vec![
            entry(b"plain", Ext4Kind::File),
            entry(b"\xff\x1b[31m", Ext4Kind::Symlink),
            entry(b"null", Ext4Kind::CharDevice),
        ],
        "stat" => {
            let attributes = vec![attribute("user.a", b"text"), attribute("user.b", b"\xff")];
            vec![entry(b"/plain", Ext4Kind::File), Ext4Line::Attributes { attributes }]
        }
        _ => vec![Ext4Line::Checked { problems: Vec::new(), count: 0, inodes: 12, blocks: 345 }],
    };
    told.iter().map(Ext4Line::text).collect()
}
