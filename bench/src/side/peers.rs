//! The libraries that are compared with, called as their documentation shows.

use std::fs::{self, File};
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Result;

/// Folders and files of a tree two levels deep, in order.
fn tree(top: &Path) -> Result<Vec<(String, Vec<PathBuf>)>> {
    let mut folders = Vec::new();
    for folder in fs::read_dir(top)? {
        let folder = folder?;
        let mut files: Vec<_> =
            fs::read_dir(folder.path())?.map(|file| Ok(file?.path())).collect::<Result<_>>()?;
        files.sort();
        folders.push((name(&folder.path())?, files));
    }
    folders.sort();
    Ok(folders)
}

fn name(path: &Path) -> Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.ok_or("a name that is no text")?.to_owned())
}

pub fn mkext4_disk(folder: &Path, out: &Path, size: u64) -> Result<()> {
    use mkext4::sink::FileSink;
    use mkext4::{FsBuilder, Meta, Options, ROOT};
    let mut builder = FsBuilder::new(Options::new(size, [7; 16], 1_700_000_000))?;
    let mut fills = Vec::new();
    for (folder, files) in tree(folder)? {
        let at = builder.mkdir(ROOT, &folder, Meta::new(0o755, 0, 0, (1_700_000_000, 0)))?;
        for path in files {
            let length = fs::metadata(&path)?.len();
            let meta = Meta::new(0o644, 0, 0, (1_700_000_000, 0));
            let file = builder.file(at, &name(&path)?, meta, length)?;
            if length > 0 {
                fills.push((file, path));
            }
        }
    }
    let layout = builder.seal()?;
    let mut sink = FileSink::create(out, layout.image_len())?;
    let mut writer = layout.writer(&mut sink)?;
    for (file, path) in fills {
        writer.fill(file, &mut File::open(path)?)?;
    }
    writer.finish()?;
    Ok(())
}

pub fn arcbox_disk(folder: &Path, out: &Path, size: u64) -> Result<()> {
    use arcbox_ext4::Formatter;
    use arcbox_ext4::constants::{file_mode, make_mode};
    let mut formatter = Formatter::new(out, 4096, size)?;
    for (folder, files) in tree(folder)? {
        for path in files {
            let (mode, inside) =
                (make_mode(file_mode::S_IFREG, 0o644), format!("/{folder}/{}", name(&path)?));
            let mut content = File::open(path)?;
            let root = Some(0);
            formatter.create(&inside, mode, None, None, Some(&mut content), root, root, None)?;
        }
    }
    Ok(formatter.close()?)
}

pub fn arcbox_import(tar: &Path, out: &Path, size: u64) -> Result<()> {
    let mut formatter = arcbox_ext4::Formatter::new(out, 4096, size)?;
    formatter.unpack_tar(BufReader::with_capacity(1 << 20, File::open(tar)?))?;
    Ok(formatter.close()?)
}

pub fn rust_fs_put(image: &Path, folder: &Path) -> Result<()> {
    use fs_ext4::block_io::FileDevice;
    use fs_ext4::fs::Filesystem;
    let device = FileDevice::open_path_rw(image).map_err(|error| format!("{error:?}"))?;
    let filesystem = Filesystem::mount(Arc::new(device)).map_err(|error| format!("{error:?}"))?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let inside = format!("/etc/{}", name(&entry.path())?);
        if filesystem.lookup_path_bytes(inside.as_bytes()).is_err() {
            filesystem.apply_create(&inside, 0o644).map_err(|error| format!("{error:?}"))?;
        }
        filesystem
            .apply_replace_file_content(&inside, &fs::read(entry.path())?)
            .map_err(|error| format!("{error:?}"))?;
    }
    Ok(filesystem.flush().map_err(|error| format!("{error:?}"))?)
}
