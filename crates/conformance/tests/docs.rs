//! `docs/conformance.md` lists every clause with what it demands, taken from the doc comments of the clauses.

use std::fmt::Write as _;
use std::path::Path;

use bowline_conformance::{CLAUSES, Need};

/// Set it to rewrite the list in the document.
const BLESS: &str = "BOWLINE_BLESS";
const BEGIN: &str = "<!-- clauses -->\n";
const END: &str = "<!-- end of clauses -->\n";

struct Described {
    name: String,
    demand: String,
    needs: String,
}

#[test]
fn the_document_lists_every_clause() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = folder.join("../../docs/conformance.md");
    let document = std::fs::read_to_string(&path).expect("the document is there");
    let (head, rest) = document.split_once(BEGIN).expect("the list begins");
    let (listed, tail) = rest.split_once(END).expect("the list ends");
    let wanted = list(&folder.join("src/clauses"));
    if std::env::var_os(BLESS).is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{wanted}{END}{tail}"))
            .expect("the document is writable");
        return;
    }
    assert!(
        listed == wanted,
        "the list of clauses is out of date; run this test with {BLESS}=1"
    );
}

fn list(folder: &Path) -> String {
    let mut text = String::new();
    let mut subject = "";
    let mut source = String::new();
    for clause in CLAUSES {
        let (module, function) = clause.name().split_once("::").expect("subject::clause");
        if module != subject {
            subject = module;
            source = std::fs::read_to_string(folder.join(format!("{module}.rs")))
                .expect("the module is there");
            let title = source
                .lines()
                .next()
                .and_then(|line| line.strip_prefix("//! "))
                .expect("a title");
            let _ = write!(
                text,
                "\n### `{module}`: {}\n\n| clause | demands | applies to |\n|---|---|---|\n",
                title.trim_end_matches('.')
            );
        }
        let described = describe(&source, function);
        let _ = writeln!(
            text,
            "| `{}` | {} | {} |",
            described.name, described.demand, described.needs
        );
    }
    text.push('\n');
    text
}

fn describe(source: &str, function: &str) -> Described {
    let at = source
        .find(&format!("pub async fn {function}("))
        .expect("the clause is in its module");
    let mut comment: Vec<&str> = source[..at]
        .lines()
        .rev()
        .take_while(|line| line.starts_with("///"))
        .collect();
    comment.reverse();
    let demand: Vec<&str> = comment
        .iter()
        .map(|line| line[3..].trim())
        .take_while(|line| !line.is_empty())
        .collect();
    assert!(!demand.is_empty(), "{function} says nothing about itself");
    let body = &source[at..];
    let body = &body[..body.find("\n}\n").expect("the clause ends")];
    Described {
        name: function.to_owned(),
        demand: without_links(&demand.join(" ")).replace('|', "\\|"),
        needs: needs(source, body),
    }
}

/// What the body of a clause asks the backend to declare.
fn needs(source: &str, body: &str) -> String {
    let mut found = Vec::new();
    let shared = body.contains("GROUPED")
        || body.contains("= open(fixture)")
        || body.contains("attach_at_random");
    for need in Need::ALL {
        let word = format!("Need::{need:?}");
        let named = |text: &str| {
            text.match_indices(&word)
                .any(|(at, _)| !text[at + word.len()..].starts_with(char::is_alphanumeric))
        };
        let by_helper = shared
            && match need {
                Need::Groups | Need::GroupRedelivery => body.contains("GROUPED"),
                Need::Leases => body.contains("= open(fixture)"),
                Need::Replay => body.contains("attach_at_random"),
                _ => false,
            };
        if named(body) || by_helper && named(source) {
            found.push(need.label());
        }
    }
    if body.contains("open_distinct") {
        found.push("two participants");
    }
    if body.contains("\"no replay\"") {
        found.push("no replay");
    }
    if found.is_empty() {
        "every bus".to_owned()
    } else {
        found.join(", ")
    }
}

/// Markdown for readers of the document: links to items become their names.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("[`") {
        let (name, after) = after.split_once("`]").expect("a link ends");
        let after = match after.strip_prefix('(') {
            Some(target) => target.split_once(')').expect("a target ends").1,
            None => after,
        };
        let _ = write!(plain, "{before}`{name}`");
        rest = after;
    }
    plain + rest
}
