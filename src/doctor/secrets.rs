//! The files with secrets, and the secret of the webhook. No secret reaches this module: only how many there are, and who
//! may read the file.

use std::path::PathBuf;

use super::Finding;
use super::finding::many;

const WEBHOOK: &str = "webhook-secret";

/// A file with a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretFileSeen {
    /// The key that names it.
    pub key: &'static str,
    /// Where it is.
    pub path: PathBuf,
    /// Every user of this machine may read it.
    pub open_to_all: bool,
}

/// Judges who may read the files.
pub(super) fn judge_files(files: &[SecretFileSeen]) -> Vec<Finding> {
    let open = files.iter().filter(|file| file.open_to_all);
    open.map(|SecretFileSeen { key, path, .. }| {
        let says = format!("every user of this machine may read {} ({key})", path.display());
        Finding::warning(
            "secret-file",
            says,
            format!(
                "give it to root and the exporter's group, mode 0640, or to the exporter's user, mode 0400: {}",
                path.display()
            ),
        )
    })
    .collect()
}

/// Judges the webhook's secret: where it is, and how many it holds, or why none. `None` if the webhook is off.
pub(super) fn judge_webhook(seen: Option<&Result<(String, usize), String>>) -> Finding {
    match seen {
        None => Finding::ok(WEBHOOK, "the webhook is off (webhook.enabled), so no secret is needed"),
        Some(Err(why)) => Finding::failure(
            WEBHOOK,
            why.clone(),
            "copy the whole signing secret, whsec_ and what follows, from the endpoint in Agntix",
        ),
        Some(Ok((name, 1))) => Finding::ok(WEBHOOK, format!("{name} holds a signing secret")),
        Some(Ok((name, count))) => {
            let secrets = many(*count as u64, "signing secret");
            Finding::ok(
                WEBHOOK,
                format!("{name} holds {secrets}, as while one is replaced; take the old one out when that is done"),
            )
        }
    }
}

/// Judges the key that customers are hashed with: why it cannot be used, if it cannot.
pub(super) fn judge_contacts(seen: &Result<(), String>) -> Finding {
    const CHECK: &str = "contacts-key";
    match seen {
        Ok(()) => Finding::ok(CHECK, "the key of metrics.repeat_contacts can be used"),
        // The sentence says how to make one.
        Err(why) => Finding::failure(CHECK, why.clone(), "the exporter does not start without it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Status;

    #[test]
    fn secret_file_readable_by_everybody_is_a_warning() {
        let file = |open_to_all| SecretFileSeen { key: "api.key_file", path: "key".into(), open_to_all };
        let found = judge_files(&[file(false), file(true)]);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].status, found[0].says.as_str()),
            (Status::Warning, "every user of this machine may read key (api.key_file)")
        );
    }

    #[test]
    fn key_of_customers_that_cannot_be_used_fails() {
        assert_eq!(judge_contacts(&Ok(())).status, Status::Ok);
        let found = judge_contacts(&Err("it is gone".into()));
        assert_eq!((found.status, found.says.as_str()), (Status::Failure, "it is gone"));
    }

    #[test]
    fn webhook_without_a_valid_secret_fails() {
        let status = |seen: Option<Result<(String, usize), String>>| judge_webhook(seen.as_ref()).status;
        assert_eq!(status(None), Status::Ok);
        assert_eq!(status(Some(Err("it holds none".into()))), Status::Failure);
        assert_eq!(status(Some(Ok(("f".into(), 1)))), Status::Ok);
        assert!(judge_webhook(Some(&Ok(("f".into(), 2)))).says.starts_with("f holds 2 signing secrets"));
    }
}
