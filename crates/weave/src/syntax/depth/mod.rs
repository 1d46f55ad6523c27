//! A bound on how deep a source can nest, found without recursion and before it is parsed.
//!
//! The parser and all passes behind it recurse, so a file of a hundred thousand brackets would
//! overflow any stack. Nesting comes from brackets, and within one bracket from chains: `!!!x`, `a
//! => b => c`, `if (a) if (b)`, `a + b + c`. Each level of recursion takes at least one token, so
//! the number of tokens since the last `,` or `;`, summed over the open brackets, bounds it. (`,`
//! does not end statements that are still open, nor `;` an `else` chain: see [`reading::Level`].)
//!
//! The scan must agree with the parser about what is a bracket, also for a source written to
//! mislead it. Whether `/` divides or opens a regular expression is decided by what precedes it; in
//! the few cases where that cannot tell, both readings are followed side by side ([`Reading`])
//! until they agree again or one of them is impossible. JSX text follows other rules, so there
//! every opening character counts and none closes.

mod reading;

use reading::{Open, Reading, Slash, Step, merge, slash_after_word};

use crate::limits::NESTING_MAX;

/// More readings than this at once do not occur in code that people or tools write.
const READINGS_MAX: usize = 16;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// How deep `source` may nest at most, or nothing when that is deeper than the parser can be
/// trusted with.
pub(super) fn nesting(source: &str, jsx: bool, typescript: bool) -> Option<usize> {
    let depth = if jsx { Some(crude_count(source)) } else { Scan::new(source, typescript).depth() };
    depth.filter(|&depth| depth <= NESTING_MAX)
}

/// Every character and word that can open a level, with nothing to close it. Quoted numbers and
/// letters are left out, which is what the paths of icons consist of; quotes that only look like a
/// pair have other characters between them.
fn crude_count(source: &str) -> usize {
    let plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b" .,+-".contains(&b))
    };
    let opens = |b: &u8| b.is_ascii_punctuation() && !b")]}>_$,;'".contains(b);
    let prefixes = ["typeof", "void", "delete", "new", "await", "yield", "do", "else", "throw"];
    let count = |(index, part): (usize, &str)| {
        // The first part has no quote before it, and the last one none behind it.
        if index > 0 && plain(part) {
            return 0;
        }
        let words = part.split(|c: char| !c.is_ascii_alphabetic());
        part.bytes().filter(opens).count() + words.filter(|w| prefixes.contains(w)).count()
    };
    source.split('"').enumerate().map(count).sum()
}

struct Scan<'a> {
    bytes: &'a [u8],
    typescript: bool,
}

impl<'a> Scan<'a> {
    fn new(source: &'a str, typescript: bool) -> Self {
        Self { bytes: source.as_bytes(), typescript }
    }

    /// The largest bound on the way, or nothing when it is past the limit.
    fn depth(&self) -> Option<usize> {
        let mut readings = vec![Reading::start()];
        let mut deepest = 0;
        loop {
            if let [only] = &mut readings[..] {
                // Nearly always: then there is nothing to compare.
                let other = self.read_on(only, &mut deepest)?;
                let Some(other) = other else { return Some(deepest) };
                readings.push(other);
                merge(&mut readings);
            }
            // The reading that is furthest behind goes on, so that equal ones meet.
            let behind = (0..readings.len()).min_by_key(|&index| readings[index].at);
            let Some(index) = behind.filter(|&index| readings[index].at < self.bytes.len()) else {
                return Some(deepest);
            };
            match self.step(&mut readings[index]) {
                Step::On => deepest = deepest.max(readings[index].depth()),
                Step::Dead => drop(readings.swap_remove(index)),
                Step::Fork(other) => readings.push(other),
            }
            merge(&mut readings);
            if deepest > NESTING_MAX || readings.len() > READINGS_MAX {
                return None;
            }
        }
    }

    /// Goes on with the only reading to where there is another one, which is told, or to the end; nothing past the limit.
    fn read_on(&self, r: &mut Reading, deepest: &mut usize) -> Option<Option<Reading>> {
        while r.at < self.bytes.len() {
            match self.step(r) {
                Step::On => *deepest = r.depth().max(*deepest),
                Step::Dead => break,
                Step::Fork(other) => return Some(Some(other)),
            }
            if *deepest > NESTING_MAX {
                return None;
            }
        }
        Some(None)
    }

    fn peek(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    fn starts(&self, at: usize, text: &[u8]) -> bool {
        self.bytes.get(at..).is_some_and(|rest| rest.starts_with(text))
    }

    /// Reads one token and the spaces before it, or a stretch of white space.
    fn step(&self, r: &mut Reading) -> Step {
        if r.inner().open == Open::Template {
            return self.template(r);
        }
        r.at += self.bytes[r.at..].iter().take_while(|b| **b == b' ').count();
        let Some(&byte) = self.bytes.get(r.at) else { return Step::On };
        match byte {
            // Most of a source is words and spaces.
            b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'$' => self.word(r, false),
            _ if is_space(byte) => {
                let space = self.bytes[r.at..].iter().take_while(|b| is_space(**b));
                r.at += space.inspect(|b| r.new_line |= matches!(b, b'\n' | b'\r')).count();
            }
            0x80.. if self.space_width(r.at) > 0 => {
                r.new_line |= self.line_end(r.at) == r.at;
                r.at += self.space_width(r.at);
            }
            b'/' if self.peek(r.at + 1) == b'/' => r.at = self.line_end(r.at),
            b'/' if self.starts(r.at, b"/*") => return self.block_comment(r),
            // Behind a byte order mark a parser may take it for one as well; if not, it stops there.
            b'#' if self.peek(r.at + 1) == b'!' && matches!(&self.bytes[..r.at], b"" | BOM) => {
                r.at = self.line_end(r.at)
            }
            b'/' => return self.slash(r),
            b'"' | b'\'' => return self.string(r, byte),
            b'<' if self.starts(r.at, b"<!--") => return self.html_comment(r, 4),
            b'-' if self.starts(r.at, b"-->") => return self.html_comment(r, 3),
            b'0'..=b'9' => self.word(r, true),
            b'`' => r.open(Open::Template, 1),
            0x80.. | b'#' | b'\\' => self.word(r, false),
            _ => return self.punctuation(r, byte),
        }
        Step::On
    }

    /// Bytes of the Unicode white space or line end at a place.
    fn space_width(&self, at: usize) -> usize {
        let rest = &self.bytes[at..];
        let text = rest.get(..3).or(rest.get(..2)).unwrap_or_default();
        match text {
            [0xc2, 0xa0 | 0x85, ..] => 2,
            b"\xef\xbb\xbf" | b"\xe1\x9a\x80" | b"\xe2\x80\xa8" | b"\xe2\x80\xa9" => 3,
            b"\xe2\x80\xaf" | b"\xe2\x81\x9f" | b"\xe3\x80\x80" => 3,
            [0xe2, 0x80, 0x80..=0x8b] => 3,
            _ => 0,
        }
    }

    fn line_end(&self, at: usize) -> usize {
        let mut end = at;
        loop {
            let rest = self.bytes.get(end..).unwrap_or_default();
            let Some(next) = rest.iter().position(|b| matches!(b, b'\n' | b'\r' | 0xe2)) else {
                return self.bytes.len();
            };
            end += next;
            // U+2028 and U+2029 end lines too.
            if rest[next] != 0xe2 || matches!(rest[next + 1..], [0x80, 0xa8 | 0xa9, ..]) {
                return end;
            }
            end += 1;
        }
    }

    fn block_comment(&self, r: &mut Reading) -> Step {
        let mut at = r.at + 2;
        loop {
            let Some(star) = self.bytes[at..].iter().position(|b| *b == b'*') else {
                return Step::Dead;
            };
            at += star + 1;
            if self.peek(at) == b'/' {
                break;
            }
        }
        r.new_line |= self.line_end(r.at) + 3 < at;
        r.at = at + 1;
        Step::On
    }

    /// `<!--` and `-->` open comments in scripts only, so both readings go on.
    fn html_comment(&self, r: &mut Reading, width: usize) -> Step {
        let mut comment = r.clone();
        comment.at = self.line_end(r.at);
        r.token(Slash::OpensRegex);
        r.at += width;
        Step::Fork(comment)
    }

    fn string(&self, r: &mut Reading, quote: u8) -> Step {
        let mut at = r.at + 1;
        loop {
            let plain = |b: &&u8| !matches!(**b, b'\\' | b'\n' | b'\r') && **b != quote;
            at += self.bytes.get(at..).unwrap_or_default().iter().take_while(plain).count();
            match self.peek(at) {
                b'\\' if self.starts(at, b"\\\r\n") => at += 3,
                b'\\' => at += 2,
                byte if byte == quote => break,
                _ => return Step::Dead,
            }
        }
        r.at = at + 1;
        r.token(Slash::Divides);
        Step::On
    }

    fn template(&self, r: &mut Reading) -> Step {
        match self.peek(r.at) {
            b'`' => {
                r.close();
                r.slash = Slash::Divides;
                r.at += 1;
            }
            b'\\' => r.at += 2,
            b'$' if self.peek(r.at + 1) == b'{' => r.open(Open::Substitution, 2),
            b'$' => r.at += 1,
            _ => {
                let text = self.bytes[r.at..].iter();
                r.at += text.take_while(|b| !matches!(b, b'`' | b'\\' | b'$')).count();
            }
        }
        Step::On
    }

    fn slash(&self, r: &mut Reading) -> Step {
        // `import "x"` and `var x` end with their line when a slash follows.
        let ended = r.slash == Slash::Divides && r.new_line;
        let unclear = r.slash == Slash::Unclear || ended;
        let divided = |mut r: Reading| {
            r.token(Slash::OpensRegex);
            r.at += 1;
            r
        };
        let end = if unclear || r.slash == Slash::OpensRegex { self.regex_end(r.at) } else { None };
        match end {
            None if r.slash == Slash::OpensRegex && !unclear => Step::Dead,
            None => {
                *r = divided(r.clone());
                Step::On
            }
            Some(end) => {
                let other = unclear.then(|| divided(r.clone()));
                r.at = end;
                r.token(Slash::Divides);
                other.map_or(Step::On, Step::Fork)
            }
        }
    }

    /// Behind the closing slash, or nothing when the line ends first.
    fn regex_end(&self, start: usize) -> Option<usize> {
        let end = self.line_end(start);
        let (mut at, mut class) = (start + 1, false);
        while at < end {
            match self.bytes[at] {
                b'\\' => at += 1,
                b'[' => class = true,
                b']' => class = false,
                b'/' if !class => {
                    let flags = self.bytes[at + 1..].iter().take_while(|b| is_ascii_word(**b));
                    return Some(at + 1 + flags.count());
                }
                _ => {}
            }
            at += 1;
        }
        None
    }

    /// An identifier, keyword or number.
    fn word(&self, r: &mut Reading, number: bool) {
        let end = self.word_end(r.at, number);
        let word = if r.after_dot { &[][..] } else { &self.bytes[r.at..end] };
        let (labelled, headed) = (r.colons[0], r.header);
        r.token(slash_after_word(word));
        r.header =
            matches!(word, b"if" | b"while" | b"for" | b"with") || (headed && word == b"await");
        r.colons = [false, labelled];
        if matches!(word, b"if" | b"else" | b"for" | b"while" | b"do" | b"with") {
            r.hold();
        }
        r.at = end;
    }

    fn word_end(&self, start: usize, number: bool) -> usize {
        let mut at = start;
        loop {
            at += self
                .bytes
                .get(at..)
                .unwrap_or_default()
                .iter()
                .take_while(|b| is_ascii_word(**b))
                .count();
            let Some(&b) = self.bytes.get(at) else { break };
            at = match b {
                b'\\' => self.escape_end(at),
                b'.' if number => at + 1,
                b'#' if at == start => at + 1,
                0x80.. if self.space_width(at) == 0 => at + 1,
                _ => break,
            };
        }
        at.clamp(start + 1, self.bytes.len())
    }

    /// Behind an escape in an identifier. The parser reports a wrong one and goes on behind what it
    /// has read of it, so this must end at the same place.
    fn escape_end(&self, at: usize) -> usize {
        let hex = |from: usize, max: usize| {
            let rest = self.bytes.get(from..).unwrap_or_default();
            rest.iter().take(max).take_while(|b| b.is_ascii_hexdigit()).count()
        };
        match (self.peek(at + 1), self.peek(at + 2)) {
            (b'u', b'{') => {
                let digits = self.code_point_digits(at + 3);
                let closed = digits > 0 && self.peek(at + 3 + digits) == b'}';
                at + 3 + digits + usize::from(closed)
            }
            (b'u', _) => at + 2 + hex(at + 2, 4),
            _ => {
                let rest = self.bytes.get(at + 2..).unwrap_or_default();
                at + 2 + rest.iter().take_while(|b| matches!(b, 0x80..=0xbf)).count()
            }
        }
    }

    /// Digits of a code point; the parser stops reading one that is too large, and the rest of its
    /// digits are a word.
    fn code_point_digits(&self, from: usize) -> usize {
        let rest = self.bytes.get(from..).unwrap_or_default();
        let mut value = 0_u32;
        for (count, b) in rest.iter().enumerate() {
            let Some(digit) = char::from(*b).to_digit(16) else {
                return count;
            };
            value = value << 4 | digit;
            if value > 0x0010_ffff {
                return 0;
            }
        }
        rest.len()
    }

    fn punctuation(&self, r: &mut Reading, byte: u8) -> Step {
        match byte {
            b'(' => {
                let header = r.header;
                r.open(Open::Paren { header }, 1);
            }
            b'[' => r.open(Open::Bracket, 1),
            b'{' => r.open(Open::Brace, 1),
            b')' | b']' | b'}' => return r.close_with(byte),
            b',' => {
                r.end_chain(false);
                r.at += 1;
            }
            b';' => {
                r.end_chain(!self.continues(r.at + 1));
                r.at += 1;
            }
            _ => self.operator(r, byte),
        }
        Step::On
    }

    fn operator(&self, r: &mut Reading, byte: u8) {
        let twice = matches!(byte, b'+' | b'-') && self.peek(r.at + 1) == byte;
        let arrow = self.starts(r.at, b"=>");
        let slash = match byte {
            _ if twice => Slash::Unclear,
            b'!' | b'>' if self.typescript => Slash::Unclear,
            _ => Slash::OpensRegex,
        };
        let labelled = r.colons[1];
        r.token(slash);
        let spread = self.starts(r.at, b"...");
        r.after_dot = byte == b'.' && !spread;
        r.colons[0] = byte == b':';
        if byte == b'<' || (byte == b':' && labelled) {
            r.hold();
        }
        r.at += if spread { 3 } else { 1 + usize::from(twice || arrow) };
    }

    /// Whether the statement before a `;` goes on behind it.
    fn continues(&self, mut at: usize) -> bool {
        loop {
            match self.peek(at) {
                b' ' | b'\t' | b'\n' | b'\r' => at += 1,
                b'/' if self.peek(at + 1) == b'/' => at = self.line_end(at),
                // A comment of several lines may hide an `else`.
                b'/' => return true,
                _ => return self.starts(at, b"else") || self.starts(at, b"while"),
            }
        }
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'\t' | b' ' | 0x0b | 0x0c)
}

fn is_ascii_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}
