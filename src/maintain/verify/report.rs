//! What a check found: the problems, by the rule that is broken, and how much was looked at.

/// Most problems that a report lists; how many more there are is counted.
pub const PROBLEMS: usize = 1_000;

/// What kind of rule is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// A page cannot be read.
    Page,
    /// A page does not match its checksum.
    Checksum,
    /// Pages do not make up sound b-trees, or a page is used twice or not at all.
    Structure,
    /// SQLite finds a table, index or row wrong: constraints, types, order, entries that lack.
    Integrity,
    /// A row refers to one that is not there.
    ForeignKey,
    /// A table, index, view or trigger is missing or is not as this version makes it.
    Schema,
    /// What a store must know of itself is missing.
    Meta,
    /// A message's parent is not there.
    Parent,
    /// The active path is not exactly the path to the session's head.
    ActivePath,
    /// A session's count, preview or last activity is not what its messages give.
    Summary,
    /// A session would give a place that is taken.
    NextSeq,
    /// The search index and what is noted of its backlog do not add up to the messages.
    Search,
    /// Deltas without a stream.
    Stream,
}

impl ProblemKind {
    /// The word used in JavaScript.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Checksum => "checksum",
            Self::Structure => "structure",
            Self::Integrity => "integrity",
            Self::ForeignKey => "foreignKey",
            Self::Schema => "schema",
            Self::Meta => "meta",
            Self::Parent => "parent",
            Self::ActivePath => "activePath",
            Self::Summary => "summary",
            Self::NextSeq => "nextSeq",
            Self::Search => "search",
            Self::Stream => "stream",
        }
    }

    /// Whether the right state follows from the rest of the store, so that nothing is lost.
    pub const fn is_derived(self) -> bool {
        matches!(
            self,
            Self::Parent
                | Self::ActivePath
                | Self::Summary
                | Self::NextSeq
                | Self::Search
                | Self::Stream
        )
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The rule.
    pub kind: ProblemKind,
    /// The table it is about; empty where it is about the file.
    pub table: String,
    /// The key of the row, or the number of the page, where it is about one.
    pub key: Option<i64>,
    /// What was expected and what was found.
    pub detail: String,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Checked {
    /// Tables that SQLite checked with their indexes.
    pub tables: u64,
    /// Pages read.
    pub pages: u64,
    /// Pages in the file itself that `saved_page` could tell of.
    pub checksums: u64,
    /// Sessions whose messages were gone through.
    pub sessions: u64,
    /// Messages gone through.
    pub messages: u64,
    /// Entries of the search index.
    pub search_entries: u64,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// That nothing is wrong.
    pub ok: bool,
    /// What is wrong, the first [`PROBLEMS`] of it.
    pub problems: Vec<Problem>,
    /// How many more problems there are, at least.
    pub more_problems: u64,
    /// How much was looked at.
    pub checked: Checked,
}

impl VerifyReport {
    pub(super) fn add(
        &mut self,
        kind: ProblemKind,
        table: &str,
        key: Option<i64>,
        detail: impl Into<String>,
    ) {
        if self.problems.len() == PROBLEMS {
            self.more_problems += 1;
            return;
        }
        self.problems.push(Problem {
            kind,
            table: table.to_owned(),
            key,
            detail: detail.into(),
        });
    }

    pub(super) fn is_full(&self) -> bool {
        self.problems.len() == PROBLEMS
    }
}
