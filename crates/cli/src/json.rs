//! Results as JSON, one object a line.

use serde::Serialize;

use crate::outcome::Failure;
use crate::output;

/// Appends `value` as one line. Line breaks between the tokens of JSON that came from elsewhere become spaces.
pub(crate) fn line(value: &impl Serialize, out: &mut Vec<u8>) -> Result<(), Failure> {
    let start = out.len();
    serde_json::to_writer(&mut *out, value)
        .map_err(|error| Failure::failed(format!("a result has no JSON form: {error}")))?;
    for byte in &mut out[start..] {
        // In a JSON string they are escaped.
        if *byte < b' ' {
            *byte = b' ';
        }
    }
    out.push(b'\n');
    Ok(())
}

/// Prints `value` as one line.
pub(crate) fn print(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = Vec::new();
    line(value, &mut text)?;
    output::print(&String::from_utf8_lossy(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_on_many_lines_goes_out_on_one() {
        let data = bowline_workflow::Data::from_json("{\n\t\"a\": \"b\\n\"\r\n}").unwrap();
        let mut out = Vec::new();
        line(&data, &mut out).unwrap();
        assert_eq!(out, b"{  \"a\": \"b\\n\"  }\n");
    }
}
