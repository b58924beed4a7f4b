//! Every verb with its arguments, and the function of `store` that it calls.

use rusqlite::Connection;

use super::maintenance::Task;
use super::reply::{Reply, Table, one_bot, one_session, visited, whole};
use super::upkeep::Purpose;
use crate::error::{Error, Result};
use crate::model::{
    BotPatch, Count, DeleteFilter, MessageList, MessagePatch, MessageRef, NewBot, NewMessage,
    NewSession, PageOptions, Search, SessionFilter, SessionPatch,
};
use crate::store::query::QueryParams;
use crate::store::streams::{self, Delta, NewStream, StreamEnd};
use crate::store::{Writer, bots, messages, query, search, sessions};

/// One call: a verb and its arguments.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each verb is documented at the function of `store` that it calls"
)]
pub enum Request<'a> {
    BotsCreate(NewBot),
    BotsGet {
        id: String,
    },
    BotsList {
        deleted: bool,
        page: PageOptions,
    },
    BotsUpdate {
        id: String,
        patch: BotPatch,
    },
    BotsDelete {
        id: String,
        permanent: bool,
    },
    BotsRestore {
        id: String,
    },
    SessionsCreate(NewSession),
    SessionsGet {
        id: String,
    },
    SessionsList {
        filter: SessionFilter,
        page: PageOptions,
    },
    SessionsUpdate {
        id: String,
        patch: SessionPatch,
    },
    SessionsFork {
        session_id: String,
        id: String,
    },
    SessionsDelete {
        id: String,
        permanent: bool,
    },
    SessionsRestore {
        id: String,
    },
    /// `limit`: how many rows at most, about.
    SessionsPurge {
        deleted_before_ms: i64,
        limit: u32,
    },
    MessagesAdd(Vec<NewMessage<'a>>),
    MessagesPut(Vec<NewMessage<'a>>),
    MessagesGet {
        session_id: String,
        id: String,
    },
    MessagesList {
        which: MessageList,
        page: PageOptions,
    },
    MessagesBranches {
        session_id: String,
        id: String,
    },
    MessagesTree {
        session_id: String,
    },
    MessagesUpdate {
        session_id: String,
        id: String,
        patch: MessagePatch,
    },
    MessagesEdit {
        session_id: String,
        id: String,
        content: NewMessage<'a>,
    },
    MessagesSwitchTo {
        session_id: String,
        id: String,
    },
    MessagesDelete {
        session_id: String,
        id: String,
        permanent: bool,
    },
    MessagesDeleteWhere {
        filter: DeleteFilter,
        permanent: bool,
    },
    MessagesRestore {
        session_id: String,
        id: String,
    },
    MessagesStart {
        new: NewStream,
        client: String,
    },
    MessagesRegenerate {
        session_id: String,
        id: String,
        new: NewStream,
        client: String,
    },
    MessagesAppend {
        session_id: String,
        id: String,
        first_number: i64,
        deltas: Vec<Delta>,
    },
    MessagesFinish {
        session_id: String,
        id: String,
        end: StreamEnd,
    },
    MessagesAbort {
        session_id: String,
        id: String,
        end: StreamEnd,
    },
    /// Ends the replies under way of clients that are gone.
    MessagesEndOf {
        clients: Vec<String>,
    },
    Search {
        search: Search,
        page: PageOptions,
    },
    SearchIndex {
        limit: u32,
    },
    TransactionBegin {
        lease_ms: f64,
    },
    TransactionCommit,
    TransactionRollback,
    TransactionSavepoint,
    TransactionRelease,
    TransactionRollbackTo,
    /// With `indexed`, it waits until every message can be found by a search in it.
    SnapshotBegin {
        lease_ms: f64,
        indexed: bool,
        purpose: Purpose,
    },
    SnapshotEnd,
    /// The next piece of the check or the copy that a snapshot was begun for.
    SnapshotStep,
    /// Makes room for the new content of the whole store. `job` is 32 hexadecimal digits that nobody
    /// else has: every further step names it, and it becomes the generation of the new content.
    ReplaceBegin {
        job: String,
    },
    /// Some bytes of it; they come as packed rows do. `suffix` tells the file from its `-wal` and its
    /// `-journal`, which SQLite needs to read it. `modified_ms` is when the file that it comes from was
    /// changed last, epoch milliseconds, where that is known.
    ReplaceWrite {
        job: String,
        suffix: String,
        offset_bytes: u64,
        modified_ms: Option<i64>,
    },
    /// The next piece of checking it, until all that is left needs the writer. That is done where it
    /// is to `finish`, at once; asked again, it says what it has said. The old content goes to
    /// `keep`, a file that is not there yet; without one it is not kept.
    ReplaceStep {
        job: String,
        keep: Option<String>,
        finish: bool,
    },
    /// Gives up what has come of the new content.
    ReplaceEnd {
        job: String,
    },
    /// One step of a task that keeps the store small and quick.
    Maintain {
        task: Task,
        limit: i32,
    },
    Query {
        sql: String,
        params: QueryParams,
        limit: Option<u32>,
    },
}

impl Request<'_> {
    /// The name of the verb in JavaScript.
    pub fn verb(&self) -> &'static str {
        match self {
            Self::BotsCreate(_) => "bots.create",
            Self::BotsGet { .. } => "bots.get",
            Self::BotsList { .. } => "bots.list",
            Self::BotsUpdate { .. } => "bots.update",
            Self::BotsDelete { .. } => "bots.delete",
            Self::BotsRestore { .. } => "bots.restore",
            Self::SessionsCreate(_) => "sessions.create",
            Self::SessionsGet { .. } => "sessions.get",
            Self::SessionsList { .. } => "sessions.list",
            Self::SessionsUpdate { .. } => "sessions.update",
            Self::SessionsFork { .. } => "sessions.fork",
            Self::SessionsDelete { .. } => "sessions.delete",
            Self::SessionsRestore { .. } => "sessions.restore",
            Self::SessionsPurge { .. } => "sessions.purge",
            Self::MessagesAdd(_) => "messages.add",
            Self::MessagesPut(_) => "messages.put",
            Self::MessagesGet { .. } => "messages.get",
            Self::MessagesList { .. } => "messages.list",
            Self::MessagesBranches { .. } => "messages.branches",
            Self::MessagesTree { .. } => "messages.tree",
            Self::MessagesUpdate { .. } => "messages.update",
            Self::MessagesEdit { .. } => "messages.edit",
            Self::MessagesSwitchTo { .. } => "messages.switchTo",
            Self::MessagesDelete { .. } => "messages.delete",
            Self::MessagesDeleteWhere { .. } => "messages.deleteWhere",
            Self::MessagesRestore { .. } => "messages.restore",
            Self::MessagesStart { .. } => "messages.start",
            Self::MessagesRegenerate { .. } => "messages.regenerate",
            Self::MessagesAppend { .. } => "messages.append",
            Self::MessagesFinish { .. } => "messages.finish",
            Self::MessagesAbort { .. } => "messages.abort",
            Self::MessagesEndOf { .. } => "messages.endOf",
            Self::Search { .. } => "search",
            Self::SearchIndex { .. } => "search.index",
            Self::TransactionBegin { .. } => "tx.begin",
            Self::TransactionCommit => "tx.commit",
            Self::TransactionRollback => "tx.rollback",
            Self::TransactionSavepoint => "tx.savepoint",
            Self::TransactionRelease => "tx.release",
            Self::TransactionRollbackTo => "tx.rollbackTo",
            Self::SnapshotBegin { .. } => "snapshot.begin",
            Self::SnapshotEnd => "snapshot.end",
            Self::SnapshotStep => "snapshot.step",
            Self::ReplaceBegin { .. } => "replace.begin",
            Self::ReplaceWrite { .. } => "replace.write",
            Self::ReplaceStep { finish: false, .. } => "replace.step",
            Self::ReplaceStep { finish: true, .. } => "replace.finish",
            Self::ReplaceEnd { .. } => "replace.end",
            Self::Maintain { .. } => "maintain",
            Self::Query { .. } => "query",
        }
    }

    /// Whether the call begins, ends or parts a transaction or snapshot.
    pub(super) fn is_control(&self) -> bool {
        matches!(
            self,
            Self::TransactionBegin { .. }
                | Self::TransactionCommit
                | Self::TransactionRollback
                | Self::TransactionSavepoint
                | Self::TransactionRelease
                | Self::TransactionRollbackTo
                | Self::SnapshotBegin { .. }
                | Self::SnapshotEnd
                | Self::SnapshotStep
                | Self::ReplaceBegin { .. }
                | Self::ReplaceWrite { .. }
                | Self::ReplaceStep { .. }
                | Self::ReplaceEnd { .. }
                | Self::Maintain { .. }
        )
    }

    /// Whether the call waits for its turn at the writer, and is no write like others.
    pub(super) fn is_upkeep(&self) -> bool {
        matches!(
            self,
            Self::ReplaceBegin { .. }
                | Self::ReplaceWrite { .. }
                | Self::ReplaceStep { .. }
                | Self::ReplaceEnd { .. }
                | Self::Maintain { .. }
        )
    }

    /// Whether the call changes the store.
    pub fn is_write(&self) -> bool {
        !self.is_control()
            && !matches!(
                self,
                Self::BotsGet { .. }
                    | Self::BotsList { .. }
                    | Self::SessionsGet { .. }
                    | Self::SessionsList { .. }
                    | Self::MessagesGet { .. }
                    | Self::MessagesList { .. }
                    | Self::MessagesBranches { .. }
                    | Self::MessagesTree { .. }
                    | Self::Search { .. }
                    | Self::Query { .. }
            )
    }

    /// Whether the call takes no more room in the end than before, or hardly any.
    pub(super) fn deletes(&self) -> bool {
        matches!(
            self,
            Self::BotsDelete { .. }
                | Self::SessionsDelete { .. }
                | Self::SessionsPurge { .. }
                | Self::MessagesDelete { .. }
                | Self::MessagesDeleteWhere { .. }
                | Self::MessagesEndOf { .. }
        )
    }

    /// Runs a call that changes the store.
    pub(super) fn write(
        self,
        writer: Writer<'_>,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        Ok(match self {
            Self::BotsCreate(bot) => one_bot(bots::create(writer, &bot)?),
            Self::BotsUpdate { id, patch } => one_bot(bots::update(writer, &id, &patch)?),
            Self::BotsDelete { id, permanent } => {
                Reply::Count(bots::delete(writer, &id, permanent)?)
            }
            Self::BotsRestore { id } => one_bot(bots::restore(writer, &id)?),
            Self::SessionsCreate(session) => one_session(sessions::create(writer, &session)?),
            Self::SessionsUpdate { id, patch } => {
                one_session(sessions::update(writer, &id, &patch)?)
            }
            Self::SessionsFork { session_id, id } => {
                one_session(sessions::fork(writer, &session_id, &id)?)
            }
            Self::SessionsDelete { id, permanent } => {
                Reply::Count(sessions::delete(writer, &id, permanent)?)
            }
            Self::SessionsRestore { id } => one_session(sessions::restore(writer, &id)?),
            Self::SessionsPurge {
                deleted_before_ms,
                limit,
            } => Reply::Count(sessions::purge(writer, deleted_before_ms, limit)?),
            Self::MessagesAdd(messages) => {
                visited(messages::add(writer, &messages, &mut |message| {
                    visit(&MessageRef {
                        is_echo: true,
                        ..*message
                    });
                }))?
            }
            Self::MessagesPut(messages) => visited(messages::put(writer, &messages, visit))?,
            Self::MessagesUpdate {
                session_id,
                id,
                patch,
            } => visited(messages::update(writer, &session_id, &id, &patch, visit))?,
            Self::MessagesEdit {
                session_id,
                id,
                content,
            } => visited(messages::edit(writer, &session_id, &id, &content, visit))?,
            Self::MessagesSwitchTo { session_id, id } => {
                one_session(messages::switch_to(writer, &session_id, &id)?)
            }
            Self::MessagesDelete {
                session_id,
                id,
                permanent,
            } => Reply::Count(messages::delete(writer, &session_id, &id, permanent)?),
            Self::MessagesDeleteWhere { filter, permanent } => {
                Reply::Count(messages::delete_where(writer, &filter, permanent)?)
            }
            Self::MessagesRestore { session_id, id } => {
                visited(messages::restore(writer, &session_id, &id, visit))?
            }
            Self::MessagesStart { new, client } => {
                visited(streams::start(writer, &new, &client, visit))?
            }
            Self::MessagesRegenerate {
                session_id,
                id,
                new,
                client,
            } => visited(streams::regenerate(
                writer,
                &session_id,
                &id,
                &new,
                &client,
                visit,
            ))?,
            Self::MessagesAppend {
                session_id,
                id,
                first_number,
                deltas,
            } => {
                streams::append(writer, &session_id, &id, first_number, &deltas)?;
                Reply::Count(Count::default())
            }
            Self::MessagesFinish {
                session_id,
                id,
                end,
            } => visited(streams::finish(writer, &session_id, &id, &end, visit))?,
            Self::MessagesAbort {
                session_id,
                id,
                end,
            } => visited(streams::abort(writer, &session_id, &id, &end, visit))?,
            Self::MessagesEndOf { clients } => {
                let ended = clients
                    .iter()
                    .map(|name| streams::end_streams_of(writer, name));
                Reply::Count(Count {
                    messages: ended.sum::<Result<u64>>()?,
                    ..Count::default()
                })
            }
            Self::SearchIndex { limit } => {
                if limit == 0 {
                    return Err(Error::argument("limit", "a number from 1", "0"));
                }
                streams::settle_all(writer)?;
                Reply::Count(Count {
                    messages: search::catch_up(writer, limit)?,
                    ..Count::default()
                })
            }
            read => return read.read(writer.connection, visit),
        })
    }

    /// Runs a call that only reads.
    pub(super) fn read(
        self,
        connection: &Connection,
        visit: &mut dyn FnMut(&MessageRef<'_>),
    ) -> Result<Reply> {
        Ok(match self {
            Self::BotsGet { id } => Reply::Bots(whole(bots::get(connection, &id)?)),
            Self::BotsList { deleted, page } => {
                Reply::Bots(bots::list(connection, deleted, &page)?)
            }
            Self::SessionsGet { id } => Reply::Sessions(whole(sessions::get(connection, &id)?)),
            Self::SessionsList { filter, page } => {
                Reply::Sessions(sessions::list(connection, &filter, &page)?)
            }
            Self::MessagesGet { session_id, id } => {
                visited(messages::get(connection, &session_id, &id, visit).map(drop))?
            }
            Self::MessagesList { which, page } => {
                Reply::Messages(messages::list(connection, &which, &page, visit)?)
            }
            Self::MessagesBranches { session_id, id } => {
                visited(messages::branches(connection, &session_id, &id, visit))?
            }
            Self::MessagesTree { session_id } => {
                Reply::Tree(messages::tree(connection, &session_id)?)
            }
            Self::Search { search, page } => {
                Reply::Hits(search::search(connection, &search, &page)?)
            }
            Self::Query { sql, params, limit } => {
                let mut table = Table::default();
                query::query(connection, &sql, &params, limit, &mut table)?;
                Reply::Table(table)
            }
            write => unreachable!("{write:?} is no read"),
        })
    }
}
