//! What is measured: fixtures, and the sides of each work.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use banger_ext4::{Attributes, Batch, Disk, FileDisk, Flush, ImagePath};

use crate::Result;
use crate::measure::{Measured, Side, rounds};
use crate::sample::Sample;
use crate::side::{Plan, ours};

const GIB: u64 = 1 << 30;
const MKE2FS: [&str; 6] =
    ["mke2fs", "-qFt", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1", "-b4096"];
/// Files that are patched or put.
const PUT: Sample = Sample { files: 200, mean: 2000 };

/// The folder of a run.
struct Bench {
    at: PathBuf,
    rounds: usize,
}

/// Measures every work whose name contains `only`.
pub fn measure_all(at: &Path, only: Option<&str>, rounds: usize) -> Result<Vec<Measured>> {
    fs::create_dir_all(at)?;
    let bench = Bench { at: at.canonicalize()?, rounds };
    let wanted = |work: &str| only.is_none_or(|only| work.contains(only));
    let mut measured = Vec::new();
    let disks: [(_, _, usize); 5] = [
        ("disk-8g-20", 8, 20),
        ("disk-8g-200", 8, 200),
        ("disk-8g-2000", 8, 2000),
        ("disk-64g-200", 64, 200),
        ("disk-1t-200", 1024, 200),
    ];
    for (work, gib, files) in disks.into_iter().filter(|disk| wanted(disk.0)) {
        measured.push(bench.disk(work, gib * GIB, files)?);
    }
    type Work = fn(&Bench, &'static str) -> Result<Measured>;
    let others: [(_, Work); 6] = [
        ("patch-8", Bench::patch),
        ("put-200", Bench::put),
        ("import-70000", Bench::import),
        ("insert-1", Bench::insert),
        ("insert-100", Bench::insert),
        ("grow-64g", Bench::grow),
    ];
    for (work, measure) in others.into_iter().filter(|other| wanted(other.0)) {
        measured.push(measure(&bench, work)?);
    }
    Ok(measured)
}

fn text(path: &Path) -> Result<&str> {
    Ok(path.to_str().ok_or("a path that is no text")?)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

/// What e2fsck thinks of what was made.
fn assert_clean(image: &Path) -> Result<()> {
    run(Command::new("e2fsck").arg("-fn").arg(image))
}

fn gone(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// A copy that keeps holes.
fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("--sparse=always").arg(from).arg(to))
}

impl Bench {
    fn path(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// A folder of this sample; made once.
    fn folder(&self, name: &str, sample: Sample) -> Result<PathBuf> {
        let path = self.path(name);
        if !path.exists() {
            let half = self.path("half-made");
            let _none = fs::remove_dir_all(&half);
            fs::create_dir(&half)?;
            sample.write_folder(&half)?;
            fs::rename(half, &path)?;
        }
        Ok(path)
    }

    /// A file that `make` makes; made once.
    fn file(&self, name: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let path = self.path(name);
        if !path.exists() {
            let half = self.path("half-made.file");
            gone(&half)?;
            make(&half)?;
            fs::rename(half, &path)?;
        }
        Ok(path)
    }

    /// Where the floor reads what to write, and the bytes of it.
    fn plan(&self, name: &str, plan: &Plan) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, serde_json::to_vec(plan)?)?;
        Ok(path)
    }

    /// A new work disk from a seed.
    fn disk(&self, work: &'static str, size: u64, files: usize) -> Result<Measured> {
        let sample = Sample { files, mean: 6000 };
        let folder = self.folder(&format!("seed-{files}"), sample)?;
        let flat = self.file(&format!("seed-{files}.flat"), |path| sample.write_flat(path))?;
        let seed = self.file(&format!("seed-{files}.ext4"), |path| {
            let mut batch = Batch::create(ours::create(path, GIB)?, &ours::options())?;
            let mut source = banger_ext4::HostTree::open(&folder)?;
            batch.ingest(&ImagePath::root(), &mut source, banger_ext4::Ownership::Root)?;
            batch.commit(Flush::ProcessSafe)?;
            Ok(())
        })?;
        let out = self.path("out.ext4");
        gone(&out)?;
        let plan = Plan::of(ours::create(&out, size)?, |disk| ours::disk(&seed, disk))?;
        assert_clean(&out)?;
        let written = Some(plan.bytes());
        let plan = self.plan("disk.plan", &plan)?;
        let script = self.path("disk.debugfs");
        let mut lines = String::new();
        let mut each = String::from("set -e\n");
        for (folder_name, name, _) in sample.files() {
            let inside = format!("/{folder_name}/{name}");
            let host = format!("{}{inside}", text(&folder)?);
            if !lines.contains(&format!("mkdir /{folder_name}\n")) {
                lines += &format!("mkdir /{folder_name}\n");
                each += &format!("debugfs -w -R 'mkdir /{folder_name}' \"$1\"\n");
            }
            lines += &format!("write {host} {inside}\nsif {inside} uid 0\nsif {inside} gid 0\n");
            each += &format!("e2cp -O 0 -G 0 -P 644 {host} \"$1\":{inside}\n");
            each += &format!("debugfs -w -R 'sif {inside} mode 0100644' \"$1\"\n");
        }
        fs::write(&script, lines)?;
        let each_script = self.path("disk.each.sh");
        fs::write(&each_script, each)?;
        let (out_text, folder_text, size_text) = (text(&out)?, text(&folder)?, size.to_string());
        let kib = (size >> 10).to_string() + "k";
        let mkfs = [&MKE2FS[..], &[out_text, &kib]].concat().join(" ");
        let shell = |rest: String| ["sh".to_owned(), "-c".into(), format!("{mkfs} && {rest}")];
        let batch = format!("debugfs -w -f {} {out_text} >/dev/null 2>&1", text(&script)?);
        let each = format!("sh {} {out_text} >/dev/null 2>&1", text(&each_script)?);
        let mut sides = vec![
            Side::own("nothing", &["nothing"])?,
            Side::own("floor", &["floor", text(&plan)?, text(&flat)?, out_text, &size_text])?,
            Side::own("banger", &["disk", text(&seed)?, out_text, &size_text])?,
            Side::own("mkext4", &["mkext4-disk", folder_text, out_text, &size_text])?,
            Side::new("mke2fs -d", [&MKE2FS[..], &["-d", folder_text, out_text, &kib]].concat()),
        ];
        if size <= 8 * GIB {
            sides.push(Side::own(
                "arcbox-ext4",
                &["arcbox-disk", folder_text, out_text, &size_text],
            )?);
            sides.push(Side::new("mkfs + one debugfs script", shell(batch)));
            let most = if files > 200 { 1 } else { 3 };
            sides.push(Side::new("mkfs + e2cp and debugfs a file", shell(each)).most(most));
        }
        let sides = rounds(&sides, self.rounds, |_| gone(&out))?;
        gone(&out)?;
        let title = format!("New disk of {} GiB from a seed of {files} files", size / GIB);
        Ok(Measured { work, title, sides, written })
    }

    /// A root filesystem of 70,000 files in 2 GiB.
    fn rootfs(&self) -> Result<PathBuf> {
        let tar =
            self.file("rootfs.tar", |path| Sample { files: 70_000, mean: 10_700 }.write_tar(path))?;
        self.file("rootfs.ext4", |path| {
            ours::import(&tar, ours::create(path, 2 * GIB)?)?;
            let mut batch = Batch::open(ours::open(path)?)?;
            batch.make_directory(
                &ImagePath::new("/etc")?,
                Attributes { mode: 0o755, uid: 0, gid: 0 },
            )?;
            batch.commit(Flush::PowerSafe)?;
            Ok(())
        })
    }

    /// Files into an image that exists: what `make` gives, a copy for every side.
    fn into(
        &self,
        work: &'static str,
        title: &str,
        base: &Path,
        sample: Sample,
        anew: bool,
    ) -> Result<Measured> {
        let folder = self.folder(&format!("put-{}", sample.files), sample)?;
        // One folder without others in it.
        let flat_folder = self.path(&format!("put-{}-flat", sample.files));
        let _there = fs::create_dir(&flat_folder);
        for (inside, name, _) in sample.files() {
            fs::copy(folder.join(inside).join(&name), flat_folder.join(name))?;
        }
        let mut script = String::new();
        for (_, name, _) in sample.files() {
            let host = flat_folder.join(&name);
            script += &format!("rm /etc/{name}\nwrite {} /etc/{name}\n", text(&host)?);
            script += &format!(
                "sif /etc/{name} mode 0100644\nsif /etc/{name} uid 0\nsif /etc/{name} gid 0\n"
            );
        }
        let script_path = self.path("put.debugfs");
        fs::write(&script_path, script)?;
        let image = |side: &str| self.path(&format!("{}.image", side.replace([' ', ','], "-")));
        let names = ["floor", "banger", "rust-fs-ext4", "one debugfs batch, not atomic"];
        for name in names {
            copy(base, &image(name))?;
        }
        let warm = |image: &Path| ours::put(ours::open(image)?, &flat_folder);
        if !anew {
            // Every round replaces what the one before it put.
            names.iter().try_for_each(|name| warm(&image(name)))?;
        }
        let plan = Plan::of(ours::open(&image("banger"))?, |disk| ours::put(disk, &flat_folder))?;
        assert_clean(&image("banger"))?;
        let written = Some(plan.bytes());
        let plan = self.plan("put.plan", &plan)?;
        let (folder_text, size) = (text(&flat_folder)?, fs::metadata(base)?.len().to_string());
        let paths = names.map(image);
        let sides = [
            Side::own("nothing", &["nothing"])?,
            Side::own("floor", &["floor", text(&plan)?, folder_text, text(&paths[0])?, &size])?,
            Side::own("banger", &["put", text(&paths[1])?, folder_text])?,
            Side::own("rust-fs-ext4", &["rust-fs-put", text(&paths[2])?, folder_text])?,
            Side::new(names[3], ["debugfs", "-w", "-f", text(&script_path)?, text(&paths[3])?]),
        ];
        let sides = rounds(&sides, self.rounds, |side| {
            if anew && side != "nothing" {
                copy(base, &image(side))?;
            }
            // What others wrote is not waited for by a flush that is timed.
            run(&mut Command::new("sync"))
        })?;
        assert_clean(&image("banger"))?;
        for name in names {
            gone(&image(name))?;
        }
        Ok(Measured { work, title: title.to_owned(), sides, written })
    }

    fn patch(&self, work: &'static str) -> Result<Measured> {
        let base = self.rootfs()?;
        let title = "8 files replaced in a root filesystem of 2 GiB and 70,000 files, all flushes";
        self.into(work, title, &base, Sample { files: 8, mean: 200 }, false)
    }

    fn put(&self, work: &'static str) -> Result<Measured> {
        let base = self.file("empty.ext4", |path| {
            let mut batch = Batch::create(ours::create(path, 8 * GIB)?, &ours::options())?;
            batch.make_directory(
                &ImagePath::new("/etc")?,
                Attributes { mode: 0o755, uid: 0, gid: 0 },
            )?;
            batch.commit(Flush::PowerSafe)?;
            Ok(())
        })?;
        self.into(work, "200 new files into a disk of 8 GiB, all flushes", &base, PUT, true)
    }

    fn import(&self, work: &'static str) -> Result<Measured> {
        let sample = Sample { files: 70_000, mean: 10_700 };
        let tar = self.file("rootfs.tar", |path| sample.write_tar(path))?;
        let folder = self.folder("rootfs", sample)?;
        let (out, size) = (self.path("out.ext4"), (2 * GIB).to_string());
        let (tar, out_text) = (text(&tar)?, text(&out)?);
        let sides = [
            Side::own("nothing", &["nothing"])?,
            Side::own("one stream", &["stream", tar, out_text])?,
            Side::own("banger", &["import", tar, out_text, &size])?,
            Side::own("arcbox-ext4", &["arcbox-import", tar, out_text, &size])?,
            Side::new("mke2fs -d", [&MKE2FS[..], &["-d", text(&folder)?, out_text, "2G"]].concat())
                .most(1),
        ];
        let sides = rounds(&sides, self.rounds.min(5), |_| {
            gone(&out)?;
            run(&mut Command::new("sync"))
        })?;
        gone(&out)?;
        let title = "A root filesystem of 70,000 files and 750 MB from its tar".to_owned();
        Ok(Measured { work, title, sides, written: None })
    }

    /// Into a directory of 1,000 and of 100,000: one name, for which both have as much to write,
    /// and a hundred, which fall into nearly as many blocks of the large one.
    fn insert(&self, work: &'static str) -> Result<Measured> {
        let filled = |names: u32| {
            self.file(&format!("filled-{names}.ext4"), |path| {
                let mut batch = Batch::create(ours::create(path, 4 * GIB)?, &ours::options())?;
                let root = Attributes { mode: 0o755, uid: 0, gid: 0 };
                batch.make_directory(&ImagePath::new("/folder")?, root)?;
                for n in 0..names {
                    batch.write_file(&ImagePath::new(format!("/folder/name-{n}"))?, root, b"")?;
                }
                batch.commit(Flush::PowerSafe)?;
                Ok(())
            })
        };
        let names = if work == "insert-1" { 1 } else { 100 };
        let (few, many) = (filled(1000)?, filled(100_000)?);
        let (few_out, many_out) = (self.path("few.ext4"), self.path("many.ext4"));
        let nothing = self.file("nothing.flat", |path| Ok(fs::write(path, b"")?))?;
        let plan = |base: &Path, out: &Path, name: &str| -> Result<_> {
            copy(base, out)?;
            let plan = Plan::of(ours::open(out)?, |disk| ours::insert(disk, names))?;
            assert_clean(out)?;
            let bytes = plan.bytes();
            Ok((self.plan(name, &plan)?, bytes))
        };
        let (few_plan, _) = plan(&few, &few_out, "few.plan")?;
        let (many_plan, written) = plan(&many, &many_out, "many.plan")?;
        let floor = |name, plan: &Path, out: &Path| {
            let size = fs::metadata(out)?.len().to_string();
            Side::own(name, &["floor", text(plan)?, text(&nothing)?, text(out)?, &size])
        };
        let count = names.to_string();
        let sides = [
            Side::own("nothing", &["nothing"])?,
            floor("floor into 1,000", &few_plan, &few_out)?,
            Side::own("into 1,000", &["insert", text(&few_out)?, &count])?,
            floor("floor", &many_plan, &many_out)?,
            Side::own("banger", &["insert", text(&many_out)?, &count])?,
        ];
        let sides = rounds(&sides, self.rounds, |side| match side {
            "banger" | "floor" => copy(&many, &many_out),
            "nothing" => Ok(()),
            _ => copy(&few, &few_out),
        })?;
        gone(&few_out)?;
        gone(&many_out)?;
        let what = if names == 1 { "One new name" } else { "100 new names" };
        let title = format!("{what} into a directory of 100,000");
        Ok(Measured { work, title, sides, written: Some(written) })
    }

    fn grow(&self, work: &'static str) -> Result<Measured> {
        let base = self.path("small.ext4");
        gone(&base)?;
        let disk: Arc<dyn Disk> = ours::create(&base, 8 * GIB)?;
        Batch::create(disk, &ours::options())?.commit(Flush::PowerSafe)?;
        let out = self.path("grown.ext4");
        let (size, out_text) = ((64 * GIB).to_string(), text(&out)?);
        copy(&base, &out)?;
        let plan = {
            File::options().write(true).open(&out)?.set_len(64 * GIB)?;
            let disk: Arc<dyn Disk> =
                Arc::new(FileDisk::new(File::options().read(true).write(true).open(&out)?)?);
            Plan::of(disk, |disk| Ok(banger_ext4::grow(&disk, true, Flush::PowerSafe).map(drop)?))?
        };
        assert_clean(&out)?;
        let written = Some(plan.bytes());
        let plan = self.plan("grow.plan", &plan)?;
        let nothing = self.file("nothing.flat", |path| Ok(fs::write(path, b"")?))?;
        let sides = [
            Side::own("nothing", &["nothing"])?,
            Side::own("floor", &["floor", text(&plan)?, text(&nothing)?, out_text, &size])?,
            Side::own("banger", &["grow", out_text, &size])?,
            Side::new("resize2fs", ["resize2fs", "-f", out_text, "64G"]),
        ];
        let sides = rounds(&sides, self.rounds, |_| {
            copy(&base, &out)?;
            run(&mut Command::new("sync"))
        })?;
        gone(&out)?;
        Ok(Measured {
            work,
            title: "A disk grown from 8 GiB to 64 GiB, all flushes".to_owned(),
            sides,
            written,
        })
    }
}
