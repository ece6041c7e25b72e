//! Where a JSON value that is being written stands.

/// Where a JSON value stands, after each of its characters.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanner {
    state: State,
    /// What is open, innermost last.
    open: Vec<Closing>,
    /// The bytes so far.
    at: usize,
    /// The end of the last whole value in the innermost of what is open, or of the bracket that opened it.
    good: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Closing {
    Object,
    Array,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A value has to come; where `true`, the array can end as well.
    Value(bool),
    /// The name of a member has to come; where `true`, the object can end as well.
    Name(bool),
    Colon,
    /// A comma or the end has to come.
    Next,
    /// In a text. What is before `whole` has no half escape at its end.
    Text {
        is_name: bool,
        escape: Escape,
        whole: usize,
    },
    /// In a number. What is before `whole` is one, unless that is 0.
    Number {
        part: NumberPart,
        whole: usize,
    },
    Literal {
        word: &'static str,
        start: usize,
    },
    /// The value is whole.
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    None,
    /// Behind the backslash.
    Begun,
    /// In `\u`: how many digits there were, and what they mean.
    Unicode(u8, u16),
    /// Behind the first half of a character that has two.
    Half,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NumberPart {
    Sign,
    Zero,
    Digits,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl Default for State {
    fn default() -> Self {
        Self::Value(false)
    }
}

impl Scanner {
    /// Takes the next character. `false` when it cannot be there.
    pub(super) fn take(&mut self, next: char) -> bool {
        // Nothing else tells where a number ends.
        if let State::Number { part, whole } = self.state
            && part.then(next).is_none()
            && whole == self.at
        {
            self.state = self.ended(self.at);
        }
        let Some(state) = self.next(next) else {
            return false;
        };
        self.state = state;
        self.at += next.len_utf8();
        true
    }

    /// Whether the value is whole.
    pub(super) fn is_complete(&self) -> bool {
        self.state == State::Complete
    }

    /// Whether it is in no object and no array.
    pub(super) fn is_outside(&self) -> bool {
        self.open.is_empty()
    }

    /// The whole value that `text`, which is what was taken, is the beginning of. `None` when it has none yet.
    pub(super) fn closed(&self, text: &str) -> Option<String> {
        let (end, rest) = match self.state {
            State::Text {
                is_name: false,
                whole,
                ..
            } => (whole, "\""),
            State::Number { whole, .. } if whole > 0 => (whole, ""),
            // By itself it may as well be the first word of a sentence.
            State::Literal { word, start } if !self.is_outside() => (start, word),
            _ => (self.good, ""),
        };
        let begun = text.get(..end).filter(|begun| !begun.is_empty())?;
        let mut closed = String::with_capacity(end + rest.len() + self.open.len());
        closed.push_str(begun);
        closed.push_str(rest);
        for closing in self.open.iter().rev() {
            closed.push(closing.bracket());
        }
        Some(closed)
    }

    fn next(&mut self, next: char) -> Option<State> {
        let is_space = matches!(next, ' ' | '\n' | '\r' | '\t');
        match self.state {
            State::Text {
                is_name,
                escape,
                whole,
            } => self.text(next, is_name, escape, whole),
            State::Number { part, whole } => {
                let part = part.then(next)?;
                let whole = if part.is_whole() { self.at + 1 } else { whole };
                Some(State::Number { part, whole })
            }
            State::Literal { word, start } => {
                let at = self.at - start;
                if word.as_bytes().get(at).copied().map(char::from) != Some(next) {
                    return None;
                }
                match at + 1 == word.len() {
                    true => Some(self.ended(self.at + 1)),
                    false => Some(self.state),
                }
            }
            state if is_space => Some(state),
            State::Value(can_end) => self.value(next, can_end),
            State::Name(_) if next == '"' => Some(self.begin_text(true)),
            State::Name(true) if next == '}' => self.close(Closing::Object),
            State::Colon if next == ':' => Some(State::Value(false)),
            State::Next => match next {
                ',' if self.open.last()? == &Closing::Object => Some(State::Name(false)),
                ',' => Some(State::Value(false)),
                '}' => self.close(Closing::Object),
                ']' => self.close(Closing::Array),
                _ => None,
            },
            State::Name(_) | State::Colon | State::Complete => None,
        }
    }

    fn value(&mut self, next: char, can_end: bool) -> Option<State> {
        let start = self.at;
        let literal = |word| Some(State::Literal { word, start });
        match next {
            '{' => {
                self.begin(Closing::Object);
                Some(State::Name(true))
            }
            '[' => {
                self.begin(Closing::Array);
                Some(State::Value(true))
            }
            ']' if can_end => self.close(Closing::Array),
            '"' => Some(self.begin_text(false)),
            't' => literal("true"),
            'f' => literal("false"),
            'n' => literal("null"),
            _ => {
                let part = match next {
                    '-' => NumberPart::Sign,
                    '0' => NumberPart::Zero,
                    '1'..='9' => NumberPart::Digits,
                    _ => return None,
                };
                let whole = if part.is_whole() { start + 1 } else { 0 };
                Some(State::Number { part, whole })
            }
        }
    }

    fn begin(&mut self, closing: Closing) {
        self.open.push(closing);
        self.good = self.at + 1;
    }

    fn begin_text(&self, is_name: bool) -> State {
        State::Text {
            is_name,
            escape: Escape::None,
            whole: self.at + 1,
        }
    }

    fn close(&mut self, closing: Closing) -> Option<State> {
        if self.open.last() != Some(&closing) {
            return None;
        }
        self.open.pop();
        Some(self.ended(self.at + 1))
    }

    /// A value ended at `end`.
    fn ended(&mut self, end: usize) -> State {
        self.good = end;
        if self.open.is_empty() {
            State::Complete
        } else {
            State::Next
        }
    }

    fn text(&mut self, next: char, is_name: bool, escape: Escape, whole: usize) -> Option<State> {
        let in_text = |escape, whole| {
            Some(State::Text {
                is_name,
                escape,
                whole,
            })
        };
        let behind = self.at + next.len_utf8();
        match (escape, next) {
            (Escape::None | Escape::Half, '"') if is_name => Some(State::Colon),
            (Escape::None | Escape::Half, '"') => Some(self.ended(behind)),
            (Escape::None | Escape::Half, '\\') => in_text(Escape::Begun, whole),
            (Escape::None | Escape::Half, '\0'..='\x1f') => None,
            (Escape::None | Escape::Half, _) => in_text(Escape::None, behind),
            (Escape::Begun, 'u') => in_text(Escape::Unicode(0, 0), whole),
            (Escape::Begun, '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => {
                in_text(Escape::None, behind)
            }
            (Escape::Begun, _) => None,
            (Escape::Unicode(digits, value), _) => {
                let digit = u16::try_from(next.to_digit(16)?).ok()?;
                let value = value << 4 | digit;
                match (digits, value) {
                    (3, 0xd800..=0xdbff) => in_text(Escape::Half, whole),
                    (3, _) => in_text(Escape::None, behind),
                    _ => in_text(Escape::Unicode(digits + 1, value), whole),
                }
            }
        }
    }
}

impl Closing {
    fn bracket(self) -> char {
        match self {
            Self::Object => '}',
            Self::Array => ']',
        }
    }
}

impl NumberPart {
    /// Whether a number can end with it.
    fn is_whole(self) -> bool {
        matches!(
            self,
            Self::Zero | Self::Digits | Self::Fraction | Self::ExponentDigits
        )
    }

    /// The part that `next` belongs to, if the number goes on.
    fn then(self, next: char) -> Option<Self> {
        match (self, next) {
            (Self::Sign, '0') => Some(Self::Zero),
            (Self::Sign | Self::Digits, '0'..='9') => Some(Self::Digits),
            (Self::Zero | Self::Digits, '.') => Some(Self::Point),
            (Self::Point | Self::Fraction, '0'..='9') => Some(Self::Fraction),
            (Self::Zero | Self::Digits | Self::Fraction, 'e' | 'E') => Some(Self::Exponent),
            (Self::Exponent, '+' | '-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, '0'..='9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }
}
