//! Packages of the system.

use crate::run::{command, output, run};

/// Installs `packages` with apt-get. No service that comes with them is started.
pub(crate) fn install(packages: &[&str]) -> Result<(), String> {
    if output("apt-get", &["--version"]).is_none() {
        return Err(format!(
            "there is no apt-get to install {} with; install it and run this again",
            packages.join(" and ")
        ));
    }
    let sudo = output("id", &["-u"]).is_some_and(|id| id != "0");
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    for arguments in [&["update"][..], &install] {
        // In the runlevel of one user, packages start nothing.
        let settings = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"];
        let mut apt = if sudo {
            command("sudo", &["--non-interactive", "env"])
        } else {
            command("env", &[])
        };
        apt.args(settings).args(arguments);
        run(apt)?;
    }
    Ok(())
}
