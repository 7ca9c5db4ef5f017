//! What other products' jobs have left below `<root>/.external`. Nothing there is the agent's: it only reads.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::Host;
use super::folder::Folder;
use crate::Label;
use crate::job::{self, JobStatus};
use crate::protocol::{Job, JobState, Refusal};

/// Where other products' scripts leave their jobs' statuses, below the root: a folder for each installation.
const EXTERNAL: &str = ".external";

/// So many bytes of them are read, so that all fit into one answer.
const MOST: usize = 8 << 20;

impl Host {
    /// The statuses of all jobs. No name is taken from who asks: the folder is listed.
    pub(super) fn jobs(&self, installation: &Label) -> Result<Vec<Job>, Refusal> {
        let Some(all) = self.root.open(EXTERNAL)? else { return Ok(Vec::new()) };
        // Whoever may write here says whether a municipality is protected.
        all.belongs_to_root()?;
        let Some(folder) = all.open(installation.as_str())? else { return Ok(Vec::new()) };
        folder.belongs_to_root()?;
        statuses(&folder, MOST)
    }
}

fn statuses(folder: &Folder, mut left: usize) -> Result<Vec<Job>, Refusal> {
    let mut jobs = BTreeMap::new();
    for file in folder.names()? {
        let Some(name) = job::named_by(&file) else { continue };
        let Some(state) = state(folder, &file, &name, &mut left) else { continue };
        match jobs.entry(name) {
            Entry::Vacant(entry) => drop(entry.insert(state)),
            Entry::Occupied(mut entry) => {
                let why = "it lies in two files, whose names mean the same: remove the older one";
                entry.insert(JobState::Unreadable(why.to_owned()));
            }
        }
    }
    Ok(jobs.into_iter().map(|(job, state)| Job { job, state }).collect())
}

/// What one file tells; nothing where it went meanwhile.
fn state(folder: &Folder, file: &str, job: &str, left: &mut usize) -> Option<JobState> {
    if *left < job::LONGEST {
        let why = format!(
            "the statuses here have more than {MOST} bytes together: remove those of jobs that are gone"
        );
        return Some(JobState::Unreadable(why));
    }
    let read = match folder.read(file, job::LONGEST as u64 + 1) {
        Ok(text) => {
            let text = text?;
            *left -= text.len().min(*left);
            JobStatus::read(&text, job)
        }
        Err(refusal) => Err(refusal.message),
    };
    Some(read.map_or_else(JobState::Unreadable, JobState::Status))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(folder: &Path, most: usize) -> Vec<(String, Result<usize, String>)> {
        let jobs = statuses(&Folder::untrusted(folder), most).unwrap();
        let short = |job: Job| match job.state {
            JobState::Status(status) => (job.job, Ok(status.servers.len())),
            JobState::Unreadable(why) => (job.job, Err(why)),
        };
        jobs.into_iter().map(short).collect()
    }

    #[test]
    fn each_file_tells_of_its_own_job_and_holds_up_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let status = |job: &str| format!(r#"{{"version":1,"job":"{job}","servers":{{"a":{{}}}}}}"#);
        write("sound.json", &status("sound"));
        write("two%20words.json", &status("two words"));
        write("copied.json", &status("sound"));
        write("half.json", "{");
        write("long.json", &" ".repeat(job::LONGEST + 1));
        write("twice.json", &status("twice"));
        write("%74wice.json", &status("twice"));
        write(".new.json", "{");
        write("notes.txt", "");
        std::fs::create_dir(folder.path().join("folder.json")).unwrap();
        std::os::unix::fs::symlink("sound.json", folder.path().join("link.json")).unwrap();
        let fifo = folder.path().join("pipe.json");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let told = told(folder.path(), MOST);
        let names: Vec<_> = told.iter().map(|(job, _)| job.as_str()).collect();
        assert_eq!(
            names,
            ["copied", "folder", "half", "link", "long", "pipe", "sound", "twice", "two words"],
        );
        for (job, found) in told {
            let says = match job.as_str() {
                "sound" | "two words" => {
                    assert_eq!(found, Ok(1), "{job}");
                    continue;
                }
                "copied" => r#"of another job, "sound""#,
                "half" | "pipe" => "cannot be read",
                "long" => "longer than",
                "twice" => "in two files",
                _ => "reading",
            };
            assert!(found.as_ref().is_err_and(|why| why.contains(says)), "{job}: {found:?}");
        }
    }

    #[test]
    fn what_is_too_much_for_one_answer_is_said_of_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        for job in ["a", "b"] {
            let text = format!(r#"{{"version":1,"job":"{job}","servers":{{}}}}"#);
            std::fs::write(folder.path().join(format!("{job}.json")), text).unwrap();
        }
        let told = told(folder.path(), job::LONGEST);
        assert_eq!(told[0].1, Ok(0));
        assert!(told[1].1.as_ref().is_err_and(|why| why.contains("remove those")), "{told:?}");
    }
}
