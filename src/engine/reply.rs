//! What a verb gives.

use rusqlite::types::{Value, ValueRef};

use crate::error::Result;
use crate::model::{Bot, Count, Page, PageEnds, SearchHit, Session, TreeNode};
use crate::store::check_reply;
use crate::store::query::QueryVisitor;

/// What a call gives. Messages are not in it: they are handed to the caller's visitor.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// Bots: one, none, or a page.
    Bots(Page<Bot>),
    /// Sessions: one, none, or a page.
    Sessions(Page<Session>),
    /// Messages were handed to the visitor; these are the ends of their page.
    Messages(PageEnds),
    /// Search hits.
    Hits(Page<SearchHit>),
    /// The tree of a session.
    Tree(Vec<TreeNode>),
    /// Rows that were changed, or that wait.
    Count(Count),
    /// The rows of a query.
    Table(Table),
    /// The scope of the transaction or snapshot that began.
    Scope(u32),
    /// It was done, and there is nothing to say of it.
    Done,
}

/// The rows of a query, cell by cell, row after row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// Names of the columns.
    pub columns: Vec<String>,
    /// All cells of the first row, then of the second, and so on.
    pub cells: Vec<Value>,
    /// Bytes of their texts and blobs.
    pub size_bytes: usize,
}

impl QueryVisitor for Table {
    fn columns(&mut self, names: &[&str]) {
        self.columns = names.iter().map(|name| (*name).to_owned()).collect();
    }

    fn cell(&mut self, value: ValueRef<'_>) -> Result<()> {
        if let ValueRef::Text(bytes) | ValueRef::Blob(bytes) = value {
            self.size_bytes += bytes.len();
            check_reply(self.size_bytes)?;
        }
        self.cells.push(match value {
            ValueRef::Null => Value::Null,
            ValueRef::Integer(number) => Value::Integer(number),
            ValueRef::Real(number) => Value::Real(number),
            ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
            ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        });
        Ok(())
    }
}

pub(super) fn whole<T>(found: Option<T>) -> Page<T> {
    Page {
        items: found.into_iter().collect(),
        ends: PageEnds::default(),
    }
}

pub(super) fn one_bot(bot: Bot) -> Reply {
    Reply::Bots(whole(Some(bot)))
}

pub(super) fn one_session(session: Session) -> Reply {
    Reply::Sessions(whole(Some(session)))
}

pub(super) fn visited(result: Result<()>) -> Result<Reply> {
    result.map(|()| Reply::Messages(PageEnds::default()))
}
