//! Commands in a form in which those of two clients can be compared.
//!
//! Everything that other processes can see is compared exactly. What is left out, and why, is the table [`LEFT_OUT`] and the
//! functions below it.

use std::collections::{BTreeSet, HashMap};

use bowline_testkit::MonitorLine;
use serde_json::Value;

/// Commands that are no concern of other processes.
const LEFT_OUT: [(&str, &str); 12] = [
    (
        "CLIENT",
        "the prologue of a connection, not shown by older servers",
    ),
    ("HELLO", "the prologue of a connection"),
    ("SELECT", "the prologue of a connection"),
    ("COMMAND", "the prologue of a connection"),
    ("PING", "asks whether a connection is alive"),
    ("QUIT", "closing a socket says the same"),
    (
        "XINFO STREAM",
        "reads positions, which the reference does not have",
    ),
    (
        "XINFO GROUPS",
        "asks for a boundary that our process knows already",
    ),
    (
        "XRANGE",
        "reads the history; what our process still has it need not ask for",
    ),
    (
        "XREVRANGE",
        "asks for a boundary that our process knows already",
    ),
    (
        "XLEN",
        "asks whether only our subscription made the stream, which is removed then",
    ),
    (
        "XGROUP DELCONSUMER",
        "removes a name that the reference leaves behind",
    ),
];

/// Turns scenarios, one after the other, into lines: acknowledgements and reads come last.
#[derive(Debug, Default, Clone)]
pub(crate) struct Normal {
    /// Reads and questions seen in earlier scenarios; loops repeat them.
    repeated: BTreeSet<String>,
    /// Connections that have blocked in a read.
    readers: BTreeSet<String>,
}

impl Normal {
    /// The comparable lines of `commands`.
    pub(crate) fn lines(&mut self, commands: &[MonitorLine]) -> Vec<String> {
        let mut own = Vec::new();
        let mut read = Vec::new();
        let mut acks = Vec::new();
        for line in unwrapped(&without_leaving(commands)) {
            if is_left_out(&line) {
                continue;
            }
            match line.command().as_str() {
                "XREADGROUP" => {
                    self.readers.insert(line.client.clone());
                    self.once(&line, &mut read);
                }
                // Asked again and again by a timer.
                "XPENDING" if line.client != "lua" => self.once(&line, &mut own),
                "XACK" if line.client != "lua" => acks.extend(one_by_one(line)),
                _ => own.push(line),
            }
        }
        // They wait for answers that other connections may overtake.
        acks.sort_by_key(|line| (entry_order(&line.arguments[3]), line.arguments.clone()));
        let mut masks = Masks::default();
        let all = own.into_iter().chain(acks).chain(read);
        all.map(|line| self.show(&line, &mut masks)).collect()
    }

    fn once(&mut self, line: &MonitorLine, lines: &mut Vec<MonitorLine>) {
        let text = format!("{} {}", line.client, line.arguments.join(" "));
        if self.repeated.insert(text) {
            lines.push(line.clone());
        }
    }

    fn show(&self, line: &MonitorLine, masks: &mut Masks) -> String {
        let connection = match line.client.as_str() {
            "lua" => "lua",
            client if self.readers.contains(client) => "read",
            _ => "own",
        };
        let mut arguments: Vec<String> =
            line.arguments.iter().map(|text| canonical(text)).collect();
        if line.command() == "EVAL" {
            // The commands that it ran follow.
            arguments[1] = "script".to_owned();
        }
        let text = masks.apply(&arguments.join(" "));
        format!("{connection} {text}")
    }
}

fn is_left_out(line: &MonitorLine) -> bool {
    let name = line.command();
    let both = match line.arguments.get(1) {
        Some(second) => format!("{name} {}", second.to_ascii_uppercase()),
        None => name.clone(),
    };
    asks_for_own(line)
        || LEFT_OUT
            .iter()
            .any(|(left_out, _)| *left_out == name || *left_out == both)
}

/// The time after which an entry counts as handed back: only consumers of ours make one look so idle.
const HANDED_BACK_MS: u64 = 366 * 24 * 3_600_000;

/// Whether it asks what our consumers have pending or have handed back. The reference asks for idle entries only.
fn asks_for_own(line: &MonitorLine) -> bool {
    let word = |at: usize| line.arguments.get(at).map_or("", String::as_str);
    let is_pending = line.command() == "XPENDING" && line.client != "lua";
    let idle = word(4).parse::<u64>().unwrap_or_default();
    is_pending && (word(3) != "IDLE" || idle > HANDED_BACK_MS)
}

/// Without scripts that only look, or remove what is left out: how a consumer of ours leaves its group.
fn without_leaving(commands: &[MonitorLine]) -> Vec<MonitorLine> {
    let matters = |line: &&MonitorLine| line.command() != "XPENDING" && !is_left_out(line);
    let mut out = Vec::new();
    let mut rest = commands;
    while let Some((line, tail)) = rest.split_first() {
        let inside = tail.iter().take_while(|line| line.client == "lua").count();
        rest = &tail[inside..];
        let is_script = line.command() == "EVAL";
        if !is_script || tail[..inside].iter().any(|line| matters(&line)) {
            out.push(line.clone());
            out.extend_from_slice(&tail[..inside]);
        }
    }
    out
}

/// Without MULTI and EXEC around a single command: what was asked with it is left out, so there is nothing to be kept together.
fn unwrapped(commands: &[MonitorLine]) -> Vec<MonitorLine> {
    let mut out: Vec<MonitorLine> = Vec::new();
    for line in commands {
        if line.command() == "EXEC" {
            let opened = out
                .iter()
                .rposition(|other| other.command() == "MULTI" && other.client == line.client);
            if let Some(at) = opened {
                let told = out[at + 1..]
                    .iter()
                    .filter(|other| other.client == line.client && !is_left_out(other))
                    .count();
                if told < 2 {
                    out.remove(at);
                    continue;
                }
            }
        }
        out.push(line.clone());
    }
    out
}

/// An acknowledgement per entry: how many go into one command is nobody's concern.
fn one_by_one(line: MonitorLine) -> Vec<MonitorLine> {
    let ids = line.arguments[3..].to_vec();
    let one = |id: String| {
        let mut one = line.clone();
        one.arguments.truncate(3);
        one.arguments.push(id);
        one
    };
    ids.into_iter().map(one).collect()
}

/// `1700000000000-3` and `{id3}` in the order in which they were made.
fn entry_order(id: &str) -> (u64, u64) {
    let digits = id.trim_start_matches("{id").trim_end_matches('}');
    let (time, number) = digits.split_once('-').unwrap_or((digits, "0"));
    (
        time.parse().unwrap_or_default(),
        number.parse().unwrap_or_default(),
    )
}

/// JSON with sorted members; anything else as it is.
fn canonical(argument: &str) -> String {
    match serde_json::from_str::<Value>(argument) {
        Ok(mut value) if value.is_object() => {
            value.sort_all_objects();
            value.to_string()
        }
        _ => argument.to_owned(),
    }
}

/// Names for values that differ from run to run; equal values get equal names.
#[derive(Debug, Default)]
struct Masks(HashMap<String, String>);

impl Masks {
    fn apply(&mut self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while !rest.is_empty() {
            match value_at(
                rest,
                out.ends_with(|before: char| before.is_ascii_alphanumeric()),
            ) {
                Some((kind, length)) => {
                    out.push_str(&self.name(kind, &rest[..length]));
                    rest = &rest[length..];
                }
                None => {
                    let next = rest.chars().next().map_or(1, char::len_utf8);
                    out.push_str(&rest[..next]);
                    rest = &rest[next..];
                }
            }
        }
        out
    }

    fn name(&mut self, kind: &str, value: &str) -> String {
        let prefix = format!("<{kind}");
        let count = self
            .0
            .values()
            .filter(|name| name.starts_with(&prefix))
            .count()
            + 1;
        let name = self.0.entry(value.to_owned());
        name.or_insert_with(|| format!("{prefix}{count}>")).clone()
    }
}

/// The kind and the length of a changing value that `text` begins with: a placeholder of the capture, or what it stands for.
fn value_at(text: &str, inside_word: bool) -> Option<(&'static str, usize)> {
    for (opening, kind) in [("{u", "u"), ("{id", "id"), ("{t", "t")] {
        let digits = text
            .strip_prefix(opening)
            .and_then(|rest| rest.split_once('}'));
        if let Some((digits, _)) = digits
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Some((kind, opening.len() + digits.len() + 1));
        }
    }
    if inside_word {
        return None;
    }
    let shapes = [
        ("u", "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh"),
        ("t", "dddd-dd-ddTdd:dd:dd.dddZ"),
    ];
    if let Some((kind, shape)) = shapes.iter().find(|(_, shape)| has_shape(text, shape)) {
        return Some((kind, shape.len()));
    }
    if !has_shape(text, "ddddddddddddd-d") {
        return None;
    }
    let number = text[14..].bytes().take_while(u8::is_ascii_digit).count();
    Some(("id", 14 + number))
}

fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, shape): (u8, u8)| match shape {
        b'h' => byte.is_ascii_hexdigit(),
        b'd' => byte.is_ascii_digit(),
        exactly => byte == exactly,
    };
    text.len() >= shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}
