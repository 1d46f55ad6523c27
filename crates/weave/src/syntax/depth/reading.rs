//! One way to read a source up to a place: which brackets are open, and what the last token was.
//!
//! Knows nothing of the source itself; the scan tells it about each token.

/// What stands inside one open bracket.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) open: Open,
    /// Tokens since the last `,` or `;`.
    pub(super) chain: usize,
    /// Tokens that may hold a level open beyond a `,`: statement keywords, labels, `<` of type
    /// arguments.
    pub(super) held: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Open {
    Brace,
    Bracket,
    /// With whether a keyword such as `if` stands before it, so that a statement follows its end.
    Paren {
        header: bool,
    },
    /// The text of a template literal.
    Template,
    /// `${` in a template literal.
    Substitution,
}

/// What the previous token says about a `/` after it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Slash {
    Divides,
    OpensRegex,
    Unclear,
}

/// One way to read the source up to a place.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) at: usize,
    pub(super) levels: Vec<Level>,
    /// Levels and chains of all open brackets but the innermost.
    pub(super) outer: usize,
    pub(super) slash: Slash,
    /// The previous token is `.`, so that a keyword is a property name.
    pub(super) after_dot: bool,
    /// A line has ended since the previous token, where a statement may have ended with it.
    pub(super) new_line: bool,
    /// The previous token is a keyword before whose parenthesis a statement follows.
    pub(super) header: bool,
    /// The previous token is `:`, and the one before that.
    pub(super) colons: [bool; 2],
}

pub(super) enum Step {
    On,
    /// The reading is impossible: the parser would stop here.
    Dead,
    Fork(Reading),
}

impl Reading {
    pub(super) fn start() -> Self {
        let top = Level { open: Open::Brace, chain: 0, held: 0 };
        Self {
            at: 0,
            levels: vec![top],
            outer: 0,
            slash: Slash::OpensRegex,
            after_dot: false,
            new_line: false,
            header: false,
            colons: [false; 2],
        }
    }

    pub(super) fn depth(&self) -> usize {
        self.outer + self.inner().chain
    }

    /// There is always one: the top level is never closed.
    pub(super) fn inner(&self) -> &Level {
        &self.levels[self.levels.len() - 1]
    }

    pub(super) fn inner_mut(&mut self) -> &mut Level {
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    pub(super) fn token(&mut self, slash: Slash) {
        self.inner_mut().chain += 1;
        self.slash = slash;
        self.forget();
    }

    /// What held of the token before the last one.
    pub(super) fn forget(&mut self) {
        self.after_dot = false;
        self.new_line = false;
        self.header = false;
        self.colons = [false; 2];
    }

    pub(super) fn hold(&mut self) {
        self.inner_mut().held += 1;
    }

    pub(super) fn end_chain(&mut self, statement: bool) {
        self.token(Slash::OpensRegex);
        let level = self.inner_mut();
        if statement {
            level.held = 0;
        }
        level.chain = level.held;
    }

    pub(super) fn open(&mut self, open: Open, width: usize) {
        self.token(Slash::OpensRegex);
        self.outer += self.inner().chain;
        self.levels.push(Level { open, chain: 0, held: 0 });
        self.at += width;
    }

    pub(super) fn close(&mut self) -> Option<Open> {
        if self.levels.len() == 1 {
            return None;
        }
        let closed = self.levels.pop()?;
        self.outer -= self.inner().chain;
        Some(closed.open)
    }

    pub(super) fn close_with(&mut self, byte: u8) -> Step {
        let slash = match (self.close(), byte) {
            (Some(Open::Paren { header: true }), b')') => Slash::OpensRegex,
            (Some(Open::Paren { header: false }), b')') | (Some(Open::Bracket), b']') => {
                Slash::Divides
            }
            (Some(Open::Brace), b'}') => Slash::Unclear,
            (Some(Open::Substitution), b'}') => Slash::OpensRegex,
            _ => return Step::Dead,
        };
        self.slash = slash;
        self.at += 1;
        self.forget();
        Step::On
    }
}

/// Drops a reading that has come to agree with another; the chains of the survivor are the larger
/// ones.
pub(super) fn merge(readings: &mut Vec<Reading>) {
    if readings.len() < 2 {
        return;
    }
    readings.sort_by_key(|r| (r.at, std::cmp::Reverse(r.depth())));
    readings.dedup_by(|a, b| {
        a.at == b.at
            && a.slash == b.slash
            && (a.header, a.after_dot, a.new_line) == (b.header, b.after_dot, b.new_line)
            && a.levels.len() == b.levels.len()
            && a.levels.iter().zip(&b.levels).all(|(a, b)| a.open == b.open)
    });
}

pub(super) fn slash_after_word(word: &[u8]) -> Slash {
    match word {
        b"return" | b"typeof" | b"case" | b"do" | b"else" | b"in" | b"instanceof" | b"new"
        | b"void" | b"delete" | b"throw" | b"extends" | b"default" => Slash::OpensRegex,
        // Identifiers in some places, keywords in others.
        b"yield" | b"await" | b"of" | b"as" | b"satisfies" | b"let" | b"static" | b"async" => {
            Slash::Unclear
        }
        _ => Slash::Divides,
    }
}
