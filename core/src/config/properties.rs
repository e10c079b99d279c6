//! Files in Java's properties format, as `server.properties` is written: comments, continued lines, escapes.
//!
//! Invariant: what is read is bounded by [`MAX_PROPERTIES_BYTES`], and no text can make it panic.

use super::ConfigError;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

/// The largest file that is read, in bytes.
pub const MAX_PROPERTIES_BYTES: usize = 1 << 20;

/// Reads a file's settings in the order they stand there (`java.util.Properties.load`, but for the character set, which
/// is UTF-8). An error names the line.
pub fn parse_properties(text: &str) -> Result<Vec<(String, String)>, ConfigError> {
    if text.len() > MAX_PROPERTIES_BYTES {
        return Err(ConfigError::new(
            "file",
            format!("it is larger than {MAX_PROPERTIES_BYTES} bytes"),
        ));
    }
    let mut settings = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let line = line.trim_start_matches(is_blank);
        if line.is_empty() || line.starts_with(['#', '!']) {
            continue;
        }
        let mut logical = String::from(line);
        while is_continued(&logical) {
            logical.pop();
            let Some((_, next)) = lines.next() else { break };
            logical.push_str(next.trim_start_matches(is_blank));
        }
        let (name, value) = split(&logical);
        let read = |part| unescape(part).ok_or_else(|| bad_escape(index + 1));
        let name = read(name)?;
        if name.is_empty() {
            return Err(ConfigError::new(
                &format!("line {}", index + 1),
                "a name is missing before the value",
            ));
        }
        settings.push((name, read(value)?));
    }
    Ok(settings)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Whether the line goes on in the next: it ends in a backslash that is not itself escaped.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1
}

/// Splits at the first `=`, `:` or blank that is not escaped; blanks around it belong to neither side.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let end = line.find(|c: char| {
        let ends = !escaped && (is_blank(c) || c == '=' || c == ':');
        escaped = !escaped && c == '\\';
        ends
    });
    let (name, rest) = line.split_at(end.unwrap_or(line.len()));
    let rest = rest.trim_start_matches(is_blank);
    let value = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (name, value.trim_start_matches(is_blank))
}

/// Resolves backslashes; `None` where a `\u` is not followed by the four digits of a character.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some('t') => out.push('\t'),
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('f') => out.push('\u{c}'),
            Some('u') => out.push(unicode(&mut chars)?),
            Some(other) => out.push(other),
            None => {}
        }
    }
    Some(out)
}

/// The character of `\uXXXX`, or of two of them that are a surrogate pair.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let first = unit(chars)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(first.into());
    }
    if chars.next()? != '\\' || chars.next()? != 'u' {
        return None;
    }
    char::decode_utf16([first, unit(chars)?]).next()?.ok()
}

fn unit(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | chars.next()?.to_digit(16)? as u16;
    }
    Some(unit)
}

fn bad_escape(line: usize) -> ConfigError {
    ConfigError::new(
        &format!("line {line}"),
        "\\u must be followed by the four hexadecimal digits of a character",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Seed;
    use alloc::string::ToString;
    use core::fmt::Write;

    fn read(text: &str) -> Vec<(String, String)> {
        parse_properties(text).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn names_and_values_are_split_as_java_does() {
        let text = "a=1\n b : 2 \n\tc 3\nd\ne=\nf==x\ng\\=h=i\r\nlisteners=PLAINTEXT://:9092,CONTROLLER://:9093\n";
        assert_eq!(
            read(text),
            [
                pair("a", "1"),
                pair("b", "2 "),
                pair("c", "3"),
                pair("d", ""),
                pair("e", ""),
                pair("f", "=x"),
                pair("g=h", "i"),
                pair("listeners", "PLAINTEXT://:9092,CONTROLLER://:9093"),
            ]
        );
    }

    #[test]
    fn comments_and_empty_lines_are_skipped_and_do_not_continue() {
        assert_eq!(read("# a=1 \\\n! b=2\n\n   \n  # c\nd=4"), [pair("d", "4")]);
    }

    #[test]
    fn a_line_goes_on_after_a_lone_backslash() {
        assert_eq!(
            read("a=1,\\\n   2,\\\r\n 3\nb=c\\\\\nd=e\\"),
            [pair("a", "1,2,3"), pair("b", "c\\"), pair("d", "e")]
        );
    }

    #[test]
    fn escapes_are_resolved() {
        assert_eq!(
            read("a=\\t\\n\\u00e9\\z\\ud83d\\ude00\nk\\ ey=v"),
            [pair("a", "\t\né\u{7a}\u{1f600}"), pair("k ey", "v")]
        );
    }

    #[test]
    fn an_error_names_its_line() {
        assert!(
            parse_properties("a=1\nb=\\u12")
                .unwrap_err()
                .to_string()
                .starts_with("line 2")
        );
        assert!(parse_properties("a=\\ud83dx").is_err());
        assert!(parse_properties("\n=1").unwrap_err().to_string().starts_with("line 2"));
        assert!(parse_properties(&"#".repeat(MAX_PROPERTIES_BYTES + 1)).is_err());
    }

    /// Writes a text so that it reads back: every character that means something gets a backslash, others a number.
    fn escaped(text: &str, seed: &mut Seed) -> String {
        let mut out = String::new();
        for c in text.chars() {
            match c {
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\t' => out.push_str("\\t"),
                '\u{c}' => out.push_str("\\f"),
                _ if seed.bytes16()[0] < 64 => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(out, "\\u{unit:04x}").unwrap();
                    }
                }
                ' ' | '=' | ':' | '#' | '!' | '\\' => out.extend(['\\', c]),
                c => out.push(c),
            }
            if seed.bytes16()[0] < 8 {
                out.push_str("\\\n \t");
            }
        }
        out
    }

    #[test]
    fn whatever_is_written_is_read_back() {
        const LETTERS: [char; 16] = [
            'a',
            'Z',
            ' ',
            '\t',
            '\n',
            '\r',
            '\u{c}',
            '=',
            ':',
            '#',
            '!',
            '\\',
            'u',
            'é',
            '漢',
            '\u{1f600}',
        ];
        let mut seed = Seed::new(7);
        for _ in 0..500 {
            let mut draw = |least: u8| {
                let bytes = seed.bytes16();
                let length = usize::from(bytes[0] % 12 + least);
                bytes
                    .iter()
                    .skip(1)
                    .take(length)
                    .map(|&byte| LETTERS[usize::from(byte % 16)])
                    .collect::<String>()
            };
            let settings: Vec<(String, String)> = (0..3).map(|_| (draw(1), draw(0))).collect();
            let mut text = String::new();
            for (name, value) in &settings {
                let (name, value) = (escaped(name, &mut seed), escaped(value, &mut seed));
                writeln!(text, "{name} = {value}").unwrap();
            }
            assert_eq!(read(&text), settings, "{text}");
        }
    }

    #[test]
    fn no_text_makes_it_panic() {
        let mut seed = Seed::new(8);
        for _ in 0..2000 {
            let text: String = seed
                .bytes16()
                .iter()
                .map(|&byte| ['\\', 'u', 'd', '8', '0', '=', '\n', ' '][usize::from(byte % 8)])
                .collect();
            if let Ok(settings) = parse_properties(&text) {
                assert!(settings.len() <= text.lines().count());
            }
        }
    }
}
