//! What is put into images: the same at every run.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::Result;

/// A tree of files in folders of fifty.
#[derive(Clone, Copy)]
pub struct Sample {
    /// How many files.
    pub files: usize,
    /// Bytes that a file has on average.
    pub mean: usize,
}

impl Sample {
    /// Every file: its folder, its name, its content.
    pub fn files(self) -> impl Iterator<Item = (String, String, Vec<u8>)> {
        (0..self.files).map(move |n| {
            // From nothing to twice the mean, in no order.
            let length = n * 7919 % (2 * self.mean);
            let content = (0..length).map(|at| (at * 31 + n * 7) as u8).collect();
            (format!("folder-{}", n / 50), format!("file-{n}"), content)
        })
    }

    /// As a folder of the host.
    pub fn write_folder(self, top: &Path) -> Result<()> {
        for (folder, name, content) in self.files() {
            let folder = top.join(folder);
            fs::create_dir_all(&folder)?;
            fs::write(folder.join(name), content)?;
        }
        Ok(())
    }

    /// As a tar.
    pub fn write_tar(self, path: &Path) -> Result<()> {
        let mut builder = tar::Builder::new(BufWriter::new(File::create(path)?));
        for (folder, name, content) in self.files() {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_mtime(1_700_000_000);
            header.set_size(content.len() as u64);
            builder.append_data(&mut header, format!("{folder}/{name}"), &content[..])?;
        }
        Ok(builder.into_inner()?.flush()?)
    }

    /// All contents one after another: what the floor reads.
    pub fn write_flat(self, path: &Path) -> Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        for (_, _, content) in self.files() {
            file.write_all(&content)?;
        }
        Ok(file.flush()?)
    }
}
