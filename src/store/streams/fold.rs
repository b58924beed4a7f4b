//! Folding: what a message has become by its deltas, in the form in which `messages.add` stores it.
//!
//! Deltas of one type that follow each other are one part; a part that came whole is never extended;
//! what is just text has no parts. A fold can be taken up where an earlier one left off, from the
//! message's own row and the type of its last part. Must not know where any of this is kept.

const TEXT: &str = "text";

/// A message's body as it is stored.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// It is just a text.
    Text(String),
    /// Parts, as a JSON array.
    Parts(String),
}

/// A message's body while it grows.
pub(super) struct Fold {
    /// The text, while there is nothing else.
    text: String,
    /// The JSON of the parts, cut off where the last one may grow: inside of the string that is its
    /// `text`, or before the bracket that ends the array.
    json: Option<String>,
    /// Type of the last part, where the next delta may extend it.
    growing: Option<String>,
}

impl Fold {
    /// Takes up what stands in a message's row.
    pub(super) fn resume(text: String, parts: Option<String>, growing: Option<String>) -> Self {
        let json = parts.map(|mut json| {
            let end = if growing.is_some() { "\"}]" } else { "]" };
            json.truncate(json.strip_suffix(end).map_or(json.len(), str::len));
            json
        });
        let is_text = json.is_none() && !text.is_empty();
        Self {
            text,
            json,
            growing: growing.or_else(|| is_text.then(|| TEXT.to_owned())),
        }
    }

    /// Extends the last part where it is of this type, and begins a new one where it is not.
    pub(super) fn grow(&mut self, part_type: &str, delta: &str) {
        if delta.is_empty() {
            return;
        }
        let extends = self.growing.as_deref() == Some(part_type);
        if self.json.is_none() && part_type == TEXT {
            self.text.push_str(delta);
        } else if extends {
            push_escaped(self.json(), delta);
        } else {
            let json = self.next_part();
            json.push_str("{\"type\":\"");
            push_escaped(json, part_type);
            json.push_str("\",\"text\":\"");
            push_escaped(json, delta);
        }
        if !extends {
            self.growing = Some(part_type.to_owned());
        }
    }

    /// Adds a part that is whole.
    pub(super) fn add_part(&mut self, part: &str) {
        self.next_part().push_str(part);
        self.growing = None;
    }

    /// Closes the last part; where the next one begins.
    fn next_part(&mut self) -> &mut String {
        let grows = self.growing.is_some();
        let json = self.json();
        if grows {
            json.push_str("\"}");
        }
        if json.len() > 1 {
            json.push(',');
        }
        json
    }

    /// The JSON so far, made from the text where there was only that.
    fn json(&mut self) -> &mut String {
        let text = &self.text;
        self.json.get_or_insert_with(|| {
            let mut json = "[".to_owned();
            if !text.is_empty() {
                json.push_str("{\"type\":\"text\",\"text\":\"");
                push_escaped(&mut json, text);
            }
            json
        })
    }

    /// The body, and the type of its last part where it may grow.
    pub(super) fn end(self) -> (Content, Option<String>) {
        let body = match self.json {
            None => Content::Text(self.text),
            Some(mut json) => {
                json.push_str(if self.growing.is_some() { "\"}]" } else { "]" });
                Content::Parts(json)
            }
        };
        (body, self.growing)
    }
}

/// The escape of a byte inside of a JSON string, as `JSON.stringify` writes it.
fn escape(byte: u8) -> Option<&'static str> {
    const CONTROLS: [&str; 32] = [
        "\\u0000", "\\u0001", "\\u0002", "\\u0003", "\\u0004", "\\u0005", "\\u0006", "\\u0007",
        "\\b", "\\t", "\\n", "\\u000b", "\\f", "\\r", "\\u000e", "\\u000f", "\\u0010", "\\u0011",
        "\\u0012", "\\u0013", "\\u0014", "\\u0015", "\\u0016", "\\u0017", "\\u0018", "\\u0019",
        "\\u001a", "\\u001b", "\\u001c", "\\u001d", "\\u001e", "\\u001f",
    ];
    match byte {
        b'"' => Some("\\\""),
        b'\\' => Some("\\\\"),
        _ => CONTROLS.get(usize::from(byte)).copied(),
    }
}

fn push_escaped(json: &mut String, text: &str) {
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        if let Some(escaped) = escape(byte) {
            json.push_str(&text[from..at]);
            json.push_str(escaped);
            from = at + 1;
        }
    }
    json.push_str(&text[from..]);
}

/// Bytes that a delta adds to the JSON of the parts, at most.
pub(super) fn grown_bytes(part_type: &str, delta: &str) -> usize {
    const AROUND: usize = "{\"type\":\"\",\"text\":\"\"},".len();
    AROUND + escaped_bytes(part_type) + escaped_bytes(delta)
}

/// Bytes that a text takes inside of a JSON string.
fn escaped_bytes(text: &str) -> usize {
    text.bytes()
        .map(|byte| escape(byte).map_or(1, str::len))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folded(fold: Fold) -> Content {
        fold.end().0
    }

    fn empty() -> Fold {
        Fold::resume(String::new(), None, None)
    }

    #[test]
    fn just_text_stays_text_and_all_else_becomes_parts() {
        let mut fold = empty();
        fold.grow("text", "a\"");
        fold.grow("text", "b");
        assert_eq!(folded(fold), Content::Text("a\"b".to_owned()));
        let mut fold = empty();
        fold.grow("text", "a\"");
        fold.grow("reasoning", "");
        fold.grow("reasoning", "\n\u{1}");
        fold.grow("reasoning", "é");
        fold.add_part("{\"type\":\"text\",\"text\":\"whole\"}");
        fold.grow("text", "own");
        assert_eq!(
            folded(fold),
            Content::Parts(
                concat!(
                    r#"[{"type":"text","text":"a\""},{"type":"reasoning","text":"\n\u0001é"},"#,
                    r#"{"type":"text","text":"whole"},{"type":"text","text":"own"}]"#
                )
                .to_owned()
            )
        );
    }

    #[test]
    fn a_fold_taken_up_again_gives_what_one_in_one_go_gives() {
        let steps: [(&str, &str); 6] = [
            ("text", "a"),
            ("text", "b\\"),
            ("reasoning", "c"),
            ("", "{\"type\":\"file\"}"),
            ("", "{\"type\":\"file\"}"),
            ("text", "\"}]"),
        ];
        let run = |fold: &mut Fold, steps: &[(&str, &str)]| {
            for (part_type, delta) in steps {
                if part_type.is_empty() {
                    fold.add_part(delta);
                } else {
                    fold.grow(part_type, delta);
                }
            }
        };
        let mut whole = empty();
        run(&mut whole, &steps);
        let whole = whole.end();
        for cut in 0..=steps.len() {
            let mut first = empty();
            run(&mut first, &steps[..cut]);
            let (body, growing) = first.end();
            let mut second = match body {
                Content::Text(text) => Fold::resume(text, None, growing),
                Content::Parts(parts) => Fold::resume("derived".to_owned(), Some(parts), growing),
            };
            run(&mut second, &steps[cut..]);
            assert_eq!(second.end(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_text_takes_as_many_bytes_as_are_counted_for_it() {
        let all: String = (0..=0x2ff).filter_map(char::from_u32).collect();
        let mut json = String::new();
        push_escaped(&mut json, &all);
        assert_eq!(json.len(), escaped_bytes(&all));
    }
}
