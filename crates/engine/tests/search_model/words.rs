//! Words, by the rules of `docs/search.md`, written anew.

/// The words of a readable string, in order.
///
/// A word is a run of letters and digits in lower case, of which 128 bytes count. A run that looks like an identifier that a
/// machine made is one word as it stands: a UUID, or more than 20 characters of hex or base64 in which letters and
/// digits alternate at least once in five.
pub(crate) fn words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut at = 0;
    while at < characters.len() {
        if !characters[at].is_alphanumeric() {
            at += 1;
            continue;
        }
        let length = identifier(&characters[at..]).unwrap_or_else(|| {
            characters[at..]
                .iter()
                .take_while(|c| c.is_alphanumeric())
                .count()
        });
        let word: String = characters[at..at + length].iter().collect();
        words.push(lower(&clip(&word, 128)));
        at += length;
    }
    words
}

/// The length of the identifier that begins here.
fn identifier(characters: &[char]) -> Option<usize> {
    uuid(characters).or_else(|| dense(characters))
}

fn uuid(characters: &[char]) -> Option<usize> {
    let uuid = characters.get(..36)?;
    let fits = uuid.iter().enumerate().all(|(at, c)| match at {
        8 | 13 | 18 | 23 => *c == '-',
        _ => c.is_ascii_hexdigit(),
    });
    let goes_on = characters
        .get(36)
        .is_some_and(|c| !c.is_ascii() || c.is_ascii_alphanumeric());
    (fits && !goes_on).then_some(36)
}

fn dense(characters: &[char]) -> Option<usize> {
    let is_part = |c: &&char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    let run: Vec<char> = characters.iter().take_while(is_part).copied().collect();
    let plain: Vec<bool> = run
        .iter()
        .filter(|c| c.is_ascii_alphanumeric())
        .map(char::is_ascii_digit)
        .collect();
    let changes = plain.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let goes_on = characters.get(run.len()).is_some_and(|c| !c.is_ascii());
    (run.len() > 20 && changes * 5 >= run.len() && !goes_on).then_some(run.len())
}

pub(crate) fn lower(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// The longest start of at most `max` bytes.
pub(crate) fn clip(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}
