//! A command line as its words, the way a POSIX shell reads quotes, and bash its `$'…'`, which browsers write when they copy a request.
//! Nothing is expanded: a variable stays as it is written.

/// The words, or why there are none.
pub(super) fn split(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                // A line that goes on; Windows line ends included.
                None | Some('\n') => {}
                Some('\r') => drop(chars.next_if_eq(&'\n')),
                Some(next) => word.get_or_insert_default().push(next),
            },
            '\'' => single(&mut chars, word.get_or_insert_default())?,
            '"' => double(&mut chars, word.get_or_insert_default())?,
            '$' if chars.next_if_eq(&'\'').is_some() => ansi(&mut chars, word.get_or_insert_default())?,
            c if c.is_whitespace() => words.extend(word.take()),
            ';' | '|' | '&' | '<' | '>' | '`' if word.is_none() => {
                return Err(format!("`{c}` belongs to the shell; paste the curl command alone"));
            }
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Ok(words)
}

type Chars<'t> = std::iter::Peekable<std::str::Chars<'t>>;

fn single(chars: &mut Chars<'_>, word: &mut String) -> Result<(), String> {
    for c in chars {
        if c == '\'' {
            return Ok(());
        }
        word.push(c);
    }
    Err("a single quote is not closed".to_owned())
}

fn double(chars: &mut Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        match c {
            '"' => return Ok(()),
            '\\' => match chars.next() {
                Some(next @ ('"' | '\\' | '$' | '`')) => word.push(next),
                Some('\n') => {}
                Some(next) => word.extend(['\\', next]),
                None => break,
            },
            c => word.push(c),
        }
    }
    Err("a double quote is not closed".to_owned())
}

fn ansi(chars: &mut Chars<'_>, word: &mut String) -> Result<(), String> {
    while let Some(c) = chars.next() {
        let escaped = match c {
            '\'' => return Ok(()),
            '\\' => chars.next(),
            c => {
                word.push(c);
                continue;
            }
        };
        match escaped {
            Some('n') => word.push('\n'),
            Some('r') => word.push('\r'),
            Some('t') => word.push('\t'),
            Some('u') => word.push(hex(chars, 4)?),
            Some('U') => word.push(hex(chars, 8)?),
            Some('x') => word.push(hex(chars, 2)?),
            Some(other) => word.push(other),
            None => break,
        }
    }
    Err("a quote that began with $' is not closed".to_owned())
}

/// Up to so many hexadecimal digits, as a character.
fn hex(chars: &mut Chars<'_>, digits_max: usize) -> Result<char, String> {
    let mut number = 0_u32;
    let mut digits = 0;
    while digits < digits_max
        && let Some(digit) = chars.peek().and_then(|c| c.to_digit(16))
    {
        number = number * 16 + digit;
        digits += 1;
        chars.next();
    }
    let character = (digits > 0).then(|| char::from_u32(number)).flatten();
    character.ok_or_else(|| "an escape within $'…' is no character".to_owned())
}
