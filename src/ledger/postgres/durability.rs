//! What the settings of the database make of an acknowledged commit: on how many machines it is, and what takes it away. Pure.

/// The columns that [`Durability::of`] reads, all of them text. Every user may see these settings, unlike the standbys.
pub(super) const SETTINGS: &str = "current_setting('fsync'), current_setting('full_page_writes'), \
     current_setting('synchronous_commit'), current_setting('synchronous_standby_names'), \
     coalesce((SELECT source FROM pg_settings WHERE name = 'synchronous_commit'), ''), \
     current_user::text, current_database()::text";

/// Whether an acknowledged commit is on two machines, as the server itself says it; see [`Durability::is_synchronous`].
pub(super) const IS_SYNCHRONOUS: &str = "current_setting('synchronous_standby_names') <> '' AND current_setting('synchronous_commit') NOT IN ('off', 'local')";

/// The settings of a server, for the role and the database that they were read with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durability {
    /// Whether a commit is on the disk when it is acknowledged.
    pub fsync: bool,
    /// Whether a page that was half written at a crash can be repaired.
    pub full_page_writes: bool,
    /// `synchronous_commit`
    pub synchronous_commit: String,
    /// Where that was set, as `pg_settings.source` says it.
    pub source: String,
    /// `synchronous_standby_names`
    pub standbys: String,
    /// Whose settings these are.
    pub user: String,
    /// In which database.
    pub database: String,
}

/// Something that is wrong, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Danger {
    /// What it is, and what is lost by it.
    pub says: String,
    /// What to do.
    pub advice: String,
}

impl Durability {
    /// From the columns of [`SETTINGS`].
    pub(super) fn of(column: impl Fn(usize) -> String) -> Self {
        Self {
            fsync: column(0) == "on",
            full_page_writes: column(1) == "on",
            synchronous_commit: column(2),
            standbys: column(3),
            source: column(4),
            user: column(5),
            database: column(6),
        }
    }

    /// Whether an acknowledged commit is on two machines, by settings that were read.
    pub fn is_synchronous(&self) -> bool {
        !self.standbys.is_empty() && !matches!(self.synchronous_commit.as_str(), "off" | "local")
    }

    /// Where an acknowledged commit is, and what takes it away.
    pub fn says(&self) -> String {
        let Self { synchronous_commit: commit, standbys, .. } = self;
        if self.is_synchronous() {
            let has = if commit == "remote_write" { "has received it" } else { "has it on its disk" };
            return format!(
                "commits are synchronous: one is acknowledged when a standby {has} as well (synchronous_commit = {commit}, \
                 synchronous_standby_names = {standbys})"
            );
        }
        let why = if standbys.is_empty() {
            "synchronous_standby_names is empty".to_owned()
        } else {
            format!("synchronous_commit = {commit}")
        };
        format!(
            "commits are asynchronous: one is acknowledged when the primary alone has it ({why}); if that machine is lost, the last \
             commits before are lost with it, unless a replica is still running and commits them again"
        )
    }

    /// What loses acknowledged commits on a single machine.
    pub fn dangers(&self) -> Vec<Danger> {
        let Self { user, database, .. } = self;
        let mut dangers = Vec::new();
        if !self.fsync {
            dangers.push(Danger {
                says: "fsync is off: when the database's machine crashes, counts are lost or damaged".into(),
                advice: "set fsync = on in postgresql.conf and reload it".into(),
            });
        }
        if !self.full_page_writes {
            dangers.push(Danger {
                says: "full_page_writes is off: when the database's machine crashes, pages may be half written and damaged".into(),
                advice: "set full_page_writes = on in postgresql.conf and reload it, unless the file system writes pages as a whole"
                    .into(),
            });
        }
        if self.synchronous_commit == "off" {
            let place = match self.source.as_str() {
                "user" => format!("run ALTER ROLE \"{user}\" RESET synchronous_commit"),
                "database" => format!("run ALTER DATABASE \"{database}\" RESET synchronous_commit"),
                "database user" => {
                    format!("run ALTER ROLE \"{user}\" IN DATABASE \"{database}\" RESET synchronous_commit")
                }
                "client" => "take synchronous_commit out of options in state.url".into(),
                _ => "set synchronous_commit = on in postgresql.conf and reload it".into(),
            };
            dangers.push(Danger {
                says: "synchronous_commit is off: when the server crashes, deliveries and counts of the last moments that were \
                       acknowledged are lost"
                    .into(),
                advice: place,
            });
        }
        dangers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(synchronous_commit: &str, standbys: &str) -> Durability {
        Durability::of(|column| ["on", "on", synchronous_commit, standbys, "user", "u", "d"][column].into())
    }

    #[test]
    fn commit_is_synchronous_only_if_a_standby_is_waited_for() {
        for (commit, standbys, is_synchronous, why) in [
            ("on", "", false, "synchronous_standby_names is empty"),
            ("on", "a", true, "synchronous_standby_names = a"),
            ("remote_apply", "ANY 1 (a, b)", true, "ANY 1 (a, b)"),
            ("remote_write", "a", true, "has received it"),
            ("local", "a", false, "synchronous_commit = local"),
            ("off", "a", false, "synchronous_commit = off"),
        ] {
            let durability = settings(commit, standbys);
            assert_eq!(durability.is_synchronous(), is_synchronous, "{commit} {standbys}");
            assert!(durability.says().contains(why), "{}", durability.says());
        }
    }

    #[test]
    fn each_danger_has_the_statement_that_ends_it() {
        assert_eq!(settings("on", "").dangers(), []);
        let off = settings("off", "").dangers();
        assert_eq!(off[0].advice, "run ALTER ROLE \"u\" RESET synchronous_commit");
        let all =
            Durability { fsync: false, full_page_writes: false, source: "database".into(), ..settings("off", "") };
        let advice: Vec<_> = all.dangers().into_iter().map(|danger| danger.advice).collect();
        assert_eq!(advice.len(), 3);
        assert_eq!(advice[2], "run ALTER DATABASE \"d\" RESET synchronous_commit");
    }
}
