//! The verbs of transactions and snapshots, and of the upkeep of a whole store.

use js_sys::Reflect;
use serde::Deserialize;
use wasm_bindgen::JsValue;

use super::{from, unknown, whole};
use crate::engine::{Purpose, Request, Task};
use crate::error::Result;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Begin {
    lease_ms: f64,
    #[serde(default)]
    indexed: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplaceWrite {
    job: String,
    suffix: String,
    offset: f64,
    modified_ms: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Replace {
    job: String,
    keep: Option<String>,
}

pub(super) fn request(verb: &str, args: JsValue) -> Result<Request<'static>> {
    Ok(match verb {
        "tx.begin" => Request::TransactionBegin {
            lease_ms: from::<Begin>(verb, args)?.lease_ms,
        },
        "tx.commit" => Request::TransactionCommit,
        "tx.rollback" => Request::TransactionRollback,
        "tx.savepoint" => Request::TransactionSavepoint,
        "tx.release" => Request::TransactionRelease,
        "tx.rollbackTo" => Request::TransactionRollbackTo,
        "snapshot.begin" => {
            let Begin { lease_ms, indexed } = from(verb, args)?;
            Request::SnapshotBegin {
                lease_ms,
                indexed,
                purpose: Purpose::Reads,
            }
        }
        "verify.begin" | "backup.begin" => Request::SnapshotBegin {
            lease_ms: from::<Begin>(verb, args)?.lease_ms,
            indexed: false,
            purpose: if verb == "verify.begin" {
                Purpose::Verify
            } else {
                Purpose::Backup
            },
        },
        "snapshot.step" => Request::SnapshotStep,
        "replace.begin" | "replace.step" | "replace.finish" | "replace.end" => {
            let Replace { job, keep } = from(verb, args)?;
            match verb {
                "replace.begin" => Request::ReplaceBegin { job },
                "replace.end" => Request::ReplaceEnd { job },
                _ => Request::ReplaceStep {
                    job,
                    keep,
                    finish: verb == "replace.finish",
                },
            }
        }
        "replace.write" => {
            let ReplaceWrite {
                job,
                suffix,
                offset,
                modified_ms,
            } = from(verb, args)?;
            Request::ReplaceWrite {
                job,
                suffix,
                offset_bytes: whole("offset", offset)?.max(0).unsigned_abs(),
                modified_ms: modified_ms.map(|ms| whole("modifiedMs", ms)).transpose()?,
            }
        }
        "snapshot.end" => Request::SnapshotEnd,
        _ => {
            let limit = Reflect::get(&args, &"limit".into())
                .ok()
                .and_then(|limit| limit.as_f64());
            let task = task_of(verb).ok_or_else(|| unknown(verb))?;
            Request::Maintain {
                task,
                limit: limit.unwrap_or_default() as i32,
            }
        }
    })
}

fn task_of(verb: &str) -> Option<Task> {
    Some(match verb.strip_prefix("maintain.")? {
        "measure" => Task::Measure,
        "index" => Task::Index,
        "vacuum" => Task::Vacuum,
        "vacuumFull" => Task::VacuumFull,
        "analyze" => Task::Analyze,
        "optimize" => Task::Optimize,
        "mergeSearch" => Task::MergeSearch,
        "resetSearch" => Task::ResetSearch,
        "checkpoint" => Task::Checkpoint,
        _ => return None,
    })
}
