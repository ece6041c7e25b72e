//! The texts that JavaScript's `BigInt` reads.

use std::borrow::Cow;

/// What a text says, without the whitespace around it.
enum Form<'a> {
    /// Digits, none at all for zero.
    Decimal { negative: bool, digits: &'a str },
    /// Digits of a power of two, after the prefix.
    Prefixed { radix: u32, digits: &'a str },
}

fn form(text: &str) -> Option<Form<'_>> {
    let text = text.trim_matches(is_space);
    let prefixed = match text.get(..2) {
        Some("0x" | "0X") => Some(16),
        Some("0o" | "0O") => Some(8),
        Some("0b" | "0B") => Some(2),
        _ => None,
    };
    if let Some(radix) = prefixed {
        let digits = &text[2..];
        let fits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
        return fits.then_some(Form::Prefixed { radix, digits });
    }
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let fits = digits.bytes().all(|byte| byte.is_ascii_digit());
    // Nothing at all is zero, but a sign needs a number.
    let fits = fits && (text.is_empty() || !digits.is_empty());
    fits.then(|| Form::Decimal {
        negative,
        digits: digits.trim_start_matches('0'),
    })
}

/// White space and line terminators of ECMAScript.
fn is_space(char: char) -> bool {
    char == '\u{feff}' || (char.is_whitespace() && char != '\u{85}')
}

/// Whether JavaScript reads the text as a big integer.
pub(super) fn is_readable(text: &str) -> bool {
    form(text).is_some()
}

/// Whether the text is `-?[0-9]+`, the only form that is sent.
pub(super) fn is_sendable(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The value in decimal, without leading zeros. None if JavaScript would not read the text, or if
/// it is written in another base and beyond 128 bits.
pub(super) fn decimal(text: &str) -> Option<Cow<'_, str>> {
    match form(text)? {
        Form::Decimal { digits: "", .. } => Some(Cow::Borrowed("0")),
        Form::Decimal { negative, digits } => Some(if negative {
            Cow::Owned(format!("-{digits}"))
        } else {
            Cow::Borrowed(digits)
        }),
        Form::Prefixed { radix, digits } => {
            let value = u128::from_str_radix(digits, radix).ok()?;
            Some(Cow::Owned(value.to_string()))
        }
    }
}
