//! A process that may not write.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use crate::child::command;

/// Neither a file nor a folder that this user cannot write makes a store.
pub(crate) fn refused() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("store.db");
    assert_eq!(opened(&database), "opened", "as long as it can be written");
    let before = fs::read(&database).unwrap();
    fs::set_permissions(&database, Permissions::from_mode(0o444)).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o555)).unwrap();
    assert_eq!(
        opened_by_anybody(&database),
        "PermissionDenied",
        "a file that is there"
    );
    let other = folder.path().join("new.db");
    assert_eq!(
        opened_by_anybody(&other),
        "PermissionDenied",
        "a file that is not there"
    );
    assert_eq!(fs::read(&database).unwrap(), before, "the file has changed");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
}

fn opened(database: &Path) -> String {
    let output = command("open", database).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Permissions mean nothing to root, so another user tries where this is root.
fn opened_by_anybody(database: &Path) -> String {
    const NOBODY: u32 = 65534;
    let mut command = command("open", database);
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
