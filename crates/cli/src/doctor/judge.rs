//! What the facts about the files of a Unix bus mean, by the rules of `bowline-unix`.

use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::finding::{Finding, Level};
use super::place::{Entry, Place, Rights, lock_path, parent};

/// Bytes of a socket path that the operating system takes.
const PATH_LIMIT: usize = 107;

/// Bytes of a file in the place of the socket that is taken for a leftover at most.
const RECLAIMABLE: u64 = 1024;

/// An election takes milliseconds; a lock of this age was left behind.
const LOCK_STALE: Duration = Duration::from_secs(2);

impl Place {
    /// Whether the bus lets files of this owner be part of it.
    fn trusts(&self, rights: Rights) -> bool {
        rights.owner == self.user || rights.owner == 0 || self.allowed_group == Some(rights.group)
    }

    /// Bits of a mode that let more people write than may use the bus.
    fn too_open(&self) -> u32 {
        if self.allowed_group.is_some() {
            0o002
        } else {
            0o022
        }
    }

    /// Everything there is to say about the files.
    pub(crate) fn judge(&self) -> Vec<Finding> {
        let mut findings = vec![self.judge_length()];
        findings.extend(self.judge_folder());
        let broken = findings.iter().any(|found| found.level == Level::Problem);
        if !(broken && self.entry == Entry::Missing) {
            findings.extend(self.judge_entry());
        }
        findings.extend(self.judge_lock());
        findings
    }

    fn judge_length(&self) -> Finding {
        let bytes = self.socket.as_os_str().as_bytes().len();
        if bytes > PATH_LIMIT {
            return Finding::problem(
                format!(
                    "the path has {bytes} bytes; the operating system takes {PATH_LIMIT} for a socket"
                ),
                "choose a shorter path, such as unix:///run/user/<uid>/events.sock",
            );
        }
        Finding::ok(format!("the path has {bytes} of {PATH_LIMIT} bytes"))
    }

    fn judge_folder(&self) -> Vec<Finding> {
        let folder = match &self.folder {
            Ok(folder) => folder,
            Err(error) => {
                return vec![Finding::problem(
                    format!("the folder of the socket cannot be looked at: {error}"),
                    "check the path, and the permissions of every folder in it",
                )];
            }
        };
        let name = folder.path.display();
        let Rights { owner, mode, .. } = folder.rights;
        if !folder.is_folder {
            return vec![Finding::problem(
                format!("{name} is not a folder"),
                "move it away, or choose another path",
            )];
        }
        if !folder.usable {
            return vec![Finding::problem(
                format!(
                    "user {} may not make files in {name} (owner {owner}, mode {mode:04o})",
                    self.user
                ),
                format!("choose a folder of your own, or let its owner run: chmod u+rwx {name}"),
            )];
        }
        if !self.trusts(folder.rights) {
            return vec![Finding::problem(
                format!(
                    "{name} belongs to user {owner}, who could replace the socket; the bus refuses such a folder"
                ),
                "choose a folder of your own",
            )];
        }
        let mut findings = Vec::new();
        if mode & self.too_open() != 0 {
            findings.push(Finding::warning(
                format!("others may make files in {name} (mode {mode:04o}) and be there before the bus"),
                format!("put the socket into a folder of its own with mode 0700, such as {name}/bowline/events.sock"),
            ));
        }
        if folder.path != parent(&self.socket) {
            findings.push(Finding::ok(format!(
                "{} does not exist yet; the first process makes it inside {name}",
                parent(&self.socket).display()
            )));
        } else if findings.is_empty() {
            findings.push(Finding::ok(format!(
                "the folder {name} is private enough (mode {mode:04o})"
            )));
        }
        findings
    }

    fn judge_entry(&self) -> Vec<Finding> {
        let name = self.socket.display();
        let one = match &self.entry {
            Entry::Missing => Finding::ok(
                "there is no socket: nobody is on the bus, and the first process to use it becomes the broker",
            ),
            Entry::Socket(rights) => return vec![self.judge_socket(*rights)],
            Entry::File { bytes: 0 } => Finding::warning(
                format!("an empty file is where the socket should be: {name}"),
                "nothing to do: the first process replaces it",
            ),
            Entry::File { bytes } if self.reclaims && *bytes <= RECLAIMABLE => Finding::warning(
                format!(
                    "a file of {bytes} bytes is where the socket should be, and the first process removes it: {name}"
                ),
                "move the file away if you need it",
            ),
            Entry::File { bytes } => Finding::problem(
                format!("a file of {bytes} bytes is where the socket should be: {name}"),
                "move the file away, or choose another path",
            ),
            Entry::Folder => Finding::problem(
                format!("a folder is where the socket should be: {name}"),
                format!("name a file in it, such as unix://{name}/events.sock"),
            ),
            Entry::Other => Finding::problem(
                format!("something that is no socket is where the socket should be: {name}"),
                "move it away, or choose another path",
            ),
            Entry::Unknown(error) => Finding::problem(
                format!("{name} cannot be looked at: {error}"),
                "check the permissions of its folders",
            ),
        };
        vec![one]
    }

    fn judge_socket(&self, rights: Rights) -> Finding {
        let name = self.socket.display();
        let Rights { owner, mode, .. } = rights;
        if !self.trusts(rights) {
            return Finding::problem(
                format!(
                    "the socket belongs to user {owner}, and you are user {}",
                    self.user
                ),
                format!("run as user {owner}, or choose another path"),
            );
        }
        if mode & self.too_open() != 0 {
            return Finding::warning(
                format!(
                    "others may connect to the socket (mode {mode:04o}) and read and publish everything"
                ),
                format!("chmod 600 {name}, or put it into a folder with mode 0700"),
            );
        }
        Finding::ok(format!("the socket is private (mode {mode:04o})"))
    }

    fn judge_lock(&self) -> Option<Finding> {
        let age = self.lock?;
        let name = lock_path(&self.socket);
        let name = name.display();
        Some(if age > LOCK_STALE {
            Finding::warning(
                format!(
                    "an election lock of {} s was left behind: {name}",
                    age.as_secs()
                ),
                format!("the next election removes it; if elections fail, run: rm {name}"),
            )
        } else {
            Finding::ok("an election is under way")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::place::Folder;

    const USER: u32 = 1000;
    const GROUP: u32 = 100;

    fn rights(owner: u32, mode: u32) -> Rights {
        Rights {
            owner,
            group: GROUP,
            mode,
        }
    }

    fn place() -> Place {
        Place {
            socket: "/run/app/events.sock".into(),
            user: USER,
            folder: Ok(Folder {
                path: "/run/app".into(),
                rights: rights(USER, 0o700),
                is_folder: true,
                usable: true,
            }),
            entry: Entry::Socket(rights(USER, 0o600)),
            lock: None,
            allowed_group: None,
            reclaims: true,
        }
    }

    fn with_folder(change: impl FnOnce(&mut Folder)) -> Place {
        let mut place = place();
        if let Ok(folder) = &mut place.folder {
            change(folder);
        }
        place
    }

    fn with_entry(entry: Entry) -> Place {
        Place { entry, ..place() }
    }

    fn with_socket(owner: u32, mode: u32) -> Place {
        with_entry(Entry::Socket(rights(owner, mode)))
    }

    /// The worst finding and the text of all findings at that level.
    fn worst(place: &Place) -> (Level, String) {
        let findings = place.judge();
        for level in [Level::Problem, Level::Warning] {
            let bad: Vec<_> = findings.iter().filter(|f| f.level == level).collect();
            if !bad.is_empty() {
                assert!(bad.iter().all(|f| f.remedy.is_some()), "{bad:?}");
                let text = bad.iter().map(|f| f.what.as_str()).collect::<Vec<_>>();
                return (level, text.join("; "));
            }
        }
        (Level::Ok, String::new())
    }

    #[test]
    fn a_private_place_is_fine() {
        let fresh_lock = Place {
            lock: Some(Duration::ZERO),
            ..place()
        };
        let of_root = with_folder(|folder| folder.rights.owner = 0);
        for place in [place(), with_entry(Entry::Missing), fresh_lock, of_root] {
            assert_eq!(worst(&place), (Level::Ok, String::new()));
        }
    }

    #[test]
    fn what_is_wrong_is_found() {
        let long = Place {
            socket: format!("/run/app/{}", "x".repeat(99)).into(),
            ..place()
        };
        let no_folder = Place {
            folder: Err("/run: denied".into()),
            ..place()
        };
        let locked = Place {
            lock: Some(Duration::from_secs(60)),
            ..place()
        };
        let root = Place {
            user: 0,
            ..with_socket(USER, 0o600)
        };
        let kept = Place {
            reclaims: false,
            ..with_entry(Entry::File { bytes: 9 })
        };
        let file = |bytes| with_entry(Entry::File { bytes });
        let table = [
            (long, Level::Problem, "108 bytes"),
            (no_folder, Level::Problem, "denied"),
            (
                with_folder(|f| f.is_folder = false),
                Level::Problem,
                "not a folder",
            ),
            (
                with_folder(|f| f.usable = false),
                Level::Problem,
                "may not make files",
            ),
            (
                with_folder(|f| f.rights.owner = 7),
                Level::Problem,
                "belongs to user 7",
            ),
            (
                with_folder(|f| f.rights.mode = 0o1777),
                Level::Warning,
                "others may make files",
            ),
            (
                with_folder(|f| f.rights.mode = 0o770),
                Level::Warning,
                "others may make files",
            ),
            (with_socket(7, 0o600), Level::Problem, "belongs to user 7"),
            (root, Level::Problem, "you are user 0"),
            (
                with_socket(USER, 0o660),
                Level::Warning,
                "others may connect",
            ),
            (file(0), Level::Warning, "empty file"),
            (file(1024), Level::Warning, "removes it"),
            (file(1025), Level::Problem, "1025 bytes"),
            (kept, Level::Problem, "9 bytes"),
            (with_entry(Entry::Folder), Level::Problem, "a folder is"),
            (with_entry(Entry::Other), Level::Problem, "no socket"),
            (
                with_entry(Entry::Unknown("denied".into())),
                Level::Problem,
                "denied",
            ),
            (locked, Level::Warning, "election lock of 60 s"),
        ];
        for (place, level, part) in table {
            let (found, text) = worst(&place);
            assert_eq!(found, level, "{part}: {text}");
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_group_that_is_allowed_is_no_finding() {
        let place = Place {
            allowed_group: Some(GROUP),
            entry: Entry::Socket(rights(7, 0o660)),
            ..with_folder(|folder| folder.rights = rights(7, 0o770))
        };
        assert_eq!(worst(&place), (Level::Ok, String::new()));
        let other = Place {
            allowed_group: Some(GROUP + 1),
            ..place
        };
        assert_eq!(worst(&other).0, Level::Problem);
    }
}
