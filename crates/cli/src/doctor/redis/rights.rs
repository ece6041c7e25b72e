//! Which commands are denied, and what stops working.

use bowline_redis::inspect::{Permission, Verdict};

use super::{Finding, Report, Wanted};

pub(super) fn judge(report: &Report, wanted: &Wanted) -> Vec<Finding> {
    let commands = &report.permissions.commands;
    let user = match &report.user {
        Ok(user) => format!("user {user}"),
        Err(_) => "this user".to_owned(),
    };
    let mut findings = Vec::new();
    for (n, permission) in commands.iter().enumerate() {
        let is_first = !commands[..n]
            .iter()
            .any(|earlier| earlier.without == permission.without);
        if is_first {
            findings.extend(judge_purpose(commands, permission.without, &user, wanted));
        }
    }
    if findings.is_empty() {
        let how = if report.permissions.asked {
            "as the server says (ACL DRYRUN)"
        } else {
            "each was tried in a form that changes nothing"
        };
        let count = commands.len();
        findings.push(Finding::ok(format!(
            "{user} may send the {count} commands that are needed under {}*; {how}",
            wanted.keys
        )));
    }
    findings
}

/// The finding about the commands of one purpose, unless all are allowed.
fn judge_purpose(
    commands: &[Permission],
    without: &str,
    user: &str,
    wanted: &Wanted,
) -> Option<Finding> {
    let group = || commands.iter().filter(|command| command.without == without);
    let denied: Vec<&Permission> = group()
        .filter(|command| matches!(command.verdict, Verdict::Denied(_)))
        .collect();
    let Some(first) = denied.first() else {
        return group().find_map(|command| match &command.verdict {
            Verdict::Unknown(why) => Some(Finding::unknown(
                format!(
                    "whether {user} may send {} is not known: {why}",
                    command.command
                ),
                format!("if not, {without}"),
            )),
            _ => None,
        });
    };
    let Verdict::Denied(why) = &first.verdict else {
        return None;
    };
    let names: Vec<_> = denied.iter().map(|command| command.command).collect();
    let names = names.join(", ");
    let what = format!("{user} may not send {names}: {without} (the server: {why})");
    let remedy = remedy(&denied, why, wanted);
    Some(if denied.iter().any(|command| command.is_essential) {
        Finding::problem(what, remedy)
    } else {
        Finding::warning(what, remedy)
    })
}

fn remedy(denied: &[&Permission], why: &str, wanted: &Wanted) -> String {
    if why.contains("key") && !why.contains("command") {
        return format!(
            "let the user reach the keys: ACL SETUSER <user> ~{}*",
            wanted.keys
        );
    }
    let rules: Vec<_> = denied
        .iter()
        .map(|command| format!("+{}", command.command.replace(' ', "|").to_lowercase()))
        .collect();
    format!(
        "ACL SETUSER <user> {}; or leave it if that is not needed",
        rules.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::testing::{bus, healthy, worst};
    use super::*;
    use crate::doctor::finding::Level;

    fn denying(command: &str, why: &str) -> Report {
        let mut report = healthy();
        for permission in &mut report.permissions.commands {
            if permission.command == command {
                permission.verdict = Verdict::Denied(why.to_owned());
            }
        }
        report
    }

    #[test]
    fn a_denied_command_is_named_with_what_stops_working() {
        let no = "User app has no permissions to run the 'x' command";
        let (level, text) = worst(&judge(&denying("XADD", no), &bus()));
        assert_eq!(level, Level::Problem);
        assert!(text.contains("XADD: nothing can be published"), "{text}");

        let findings = judge(&denying("XPENDING", no), &bus());
        let (level, text) = worst(&findings);
        assert_eq!(level, Level::Warning);
        assert!(
            text.contains("user default may not send XPENDING"),
            "{text}"
        );
        let remedy = findings[0].remedy.as_deref().unwrap();
        assert!(
            remedy.starts_with("ACL SETUSER <user> +xpending"),
            "{remedy}"
        );
    }

    #[test]
    fn a_denied_key_is_told_from_a_denied_command() {
        let no = "User app has no permissions to access the 'mastra:topic:x' key";
        let findings = judge(&denying("XADD", no), &bus());
        let remedy = findings[0].remedy.as_deref().unwrap();
        assert!(remedy.contains("~mastra:topic:*"), "{remedy}");
    }

    #[test]
    fn all_rights_are_one_line() {
        let findings = judge(&healthy(), &bus());
        assert_eq!(findings.len(), 1);
        assert!(findings[0].what.contains("mastra:topic:*"), "{findings:?}");
    }
}
