//! What the server says, one answer after another.

/// One answer to one request.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// An honest one.
    Honest,
    /// Results of the operations behind an honest head and SEQUENCE.
    Results(Vec<u8>),
    /// Status, tag, count and results of the compound behind an honest RPC header.
    Compound(Vec<u8>),
    /// Everything behind xid and message type.
    Reply(Vec<u8>),
    /// A whole record.
    Record(Vec<u8>),
    /// Bytes without a mark.
    Bytes(Vec<u8>),
    /// Nothing.
    Silence,
    /// Bytes without a mark, and the end of the connection.
    End(Vec<u8>),
}

/// Answers in their order.
#[derive(Debug)]
pub(super) struct Script {
    answers: Vec<Answer>,
    next: usize,
    /// Whether the last answer is given again and again; otherwise honest ones follow.
    repeats: bool,
    /// Whether it begins with the requests by which a session is made.
    covers_setup: bool,
}

impl Script {
    /// Two flags, and then for each answer its kind, its length in bytes and what it says.
    pub(super) fn read(input: &[u8]) -> Option<Self> {
        let (&flags, mut rest) = input.split_first()?;
        let mut answers = Vec::new();
        while let [kind, low, high, tail @ ..] = rest {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let (bytes, after) = tail.split_at(length.min(tail.len()));
            answers.push(Answer::new(*kind, bytes));
            rest = after;
        }
        Some(Self { answers, next: 0, repeats: flags & 1 != 0, covers_setup: flags & 2 != 0 })
    }

    /// The answer to the next request.
    pub(super) fn next(&mut self, is_setup: bool) -> Answer {
        if is_setup && !self.covers_setup {
            return Answer::Honest;
        }
        let last = if self.repeats { self.answers.last() } else { None };
        let answer = self.answers.get(self.next).or(last);
        self.next += 1;
        answer.cloned().unwrap_or(Answer::Honest)
    }

    /// From now on every answer is honest.
    pub(super) fn forget(&mut self) {
        self.answers.clear();
    }
}

impl Answer {
    fn new(kind: u8, bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        match kind % 8 {
            0 => Self::Results(bytes),
            1 => Self::Compound(bytes),
            2 => Self::Reply(bytes),
            3 => Self::Record(bytes),
            4 => Self::Bytes(bytes),
            5 => Self::Silence,
            6 => Self::End(bytes),
            _ => Self::Honest,
        }
    }
}
