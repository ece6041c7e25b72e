//! Streams that were captured from the reference.

use serde::Deserialize;
use serde_json::value::RawValue;

/// One event as it was published.
#[derive(Debug, Clone)]
pub(crate) struct Captured {
    /// The file that it is in.
    pub(crate) file: String,
    pub(crate) topic: String,
    pub(crate) kind: String,
    /// The JSON text of its data.
    pub(crate) data: String,
}

#[derive(Deserialize)]
struct Line {
    topic: String,
    event: Published,
}

#[derive(Deserialize)]
struct Published {
    #[serde(rename = "type")]
    kind: String,
    data: Box<RawValue>,
}

/// All captured events, file by file, in the order in which they were published.
pub(crate) fn captured() -> Vec<Captured> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder of captured streams")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let mut events = Vec::new();
    for path in files {
        let text = std::fs::read_to_string(&path).expect("a file");
        let name = path
            .file_stem()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        // Other lines tell of leases and of topics that were cleared.
        for line in text.lines().filter(|line| line.starts_with("{\"topic\"")) {
            let line: Line = serde_json::from_str(line).expect("an event");
            events.push(Captured {
                file: name.clone(),
                topic: line.topic,
                kind: line.event.kind,
                data: line.event.data.get().to_owned(),
            });
        }
    }
    events
}
