//! `user`: people of the console, written to the store itself.

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use super::{Failure, File, Opened, failed, load, print, print_json};
use crate::core::change::UserRow;
use crate::core::people::ConsoleRole;
use crate::ledger::Ledger;

/// As the chain names who did it.
const BY: &str = "command line";

#[derive(Debug, Subcommand)]
pub(super) enum User {
    /// Make somebody and print the link by which he sets his password; it is shown once and works once, within 72 hours.
    Add {
        #[command(flatten)]
        file: File,
        /// Name to sign in with: lower-case letters, digits, `.`, `-`, `_`.
        name: String,
        /// What he may do.
        #[arg(long)]
        role: RoleName,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List all people.
    List {
        #[command(flatten)]
        file: File,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Give somebody another role.
    Role {
        #[command(flatten)]
        file: File,
        /// Whom.
        name: String,
        /// What he may do.
        #[arg(long)]
        role: RoleName,
    },
    /// Print a new link for a password; the older one ends.
    Link {
        #[command(flatten)]
        file: File,
        /// Whom.
        name: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Shut somebody out: his sessions and links end.
    ShutOut {
        #[command(flatten)]
        file: File,
        /// Whom.
        name: String,
    },
    /// Take somebody's second factor away: his telephone and his recovery codes are gone. His sessions end.
    EndFactor {
        #[command(flatten)]
        file: File,
        /// Whose.
        name: String,
    },
    /// Let somebody in again.
    LetIn {
        #[command(flatten)]
        file: File,
        /// Whom.
        name: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum RoleName {
    /// Look.
    Viewer,
    /// Re-issue, withdraw, pause, send again.
    Operator,
    /// Everything.
    Administrator,
    /// Look, and verify the ledger.
    Auditor,
}

impl From<RoleName> for ConsoleRole {
    fn from(role: RoleName) -> ConsoleRole {
        match role {
            RoleName::Viewer => ConsoleRole::Viewer,
            RoleName::Operator => ConsoleRole::Operator,
            RoleName::Administrator => ConsoleRole::Administrator,
            RoleName::Auditor => ConsoleRole::Auditor,
        }
    }
}

/// A person as it is printed: without the hash of his password.
#[derive(Serialize)]
struct View<'a> {
    name: &'a str,
    role: ConsoleRole,
    shut_out: bool,
    has_password: bool,
    second_factor: bool,
    created_at: String,
}

impl View<'_> {
    fn of(user: &UserRow) -> View<'_> {
        View {
            name: &user.name,
            role: user.role,
            shut_out: user.shut_out,
            has_password: user.password.is_some(),
            second_factor: user.has_factor(),
            created_at: user.created_at.to_string(),
        }
    }

    fn line(&self) -> String {
        let state = match (self.shut_out, self.has_password) {
            (true, _) => "shut out",
            (false, true) if self.second_factor => "may sign in, with a second factor",
            (false, true) => "may sign in",
            (false, false) => "no password yet",
        };
        format!("{:20}  {:13}  {state}\n", self.name, self.role.as_str())
    }
}

pub(super) async fn run(command: User) -> Result<(), Failure> {
    let (User::Add { file, .. }
    | User::List { file, .. }
    | User::Role { file, .. }
    | User::Link { file, .. }
    | User::ShutOut { file, .. }
    | User::EndFactor { file, .. }
    | User::LetIn { file, .. }) = &command;
    let open = Opened::open(&load(file, None)?).await?;
    let ledger = open.ledger.of(BY, "");
    let result = tokio::select! {
        result = with(&ledger, command) => result,
        () = open.hold() => Err(Failure::Other("the lead was lost; whether it was done, `user list` says".to_owned())),
    };
    open.close().await;
    result
}

async fn with(ledger: &Ledger, command: User) -> Result<(), Failure> {
    match command {
        User::Add { name, role, json, .. } => {
            ledger.add_user(&name, role.into(), BY).await.map_err(|refusal| failed("nobody was added", refusal))?;
            link(ledger, &name, json).await
        }
        User::Link { name, json, .. } => link(ledger, &name, json).await,
        User::List { json, .. } => {
            let users = ledger.users().await.map_err(|refusal| failed("the people cannot be read", refusal))?;
            let views: Vec<View<'_>> = users.iter().map(View::of).collect();
            if json { print_json(&views) } else { print(&views.iter().map(View::line).collect::<String>()) }
        }
        User::Role { name, role, .. } => {
            ledger.set_user_role(&name, role.into(), BY).await.map_err(|refusal| failed("the role stays", refusal))?;
            print(&format!("{name} is {} now\n", ConsoleRole::from(role).as_str()))
        }
        User::ShutOut { name, .. } => {
            ledger.shut_user_out(&name, true, BY).await.map_err(|refusal| failed("not shut out", refusal))?;
            print(&format!("{name} is shut out\n"))
        }
        User::EndFactor { name, .. } => {
            let ended = ledger.end_user_factor(&name, BY).await;
            ended.map_err(|refusal| failed("the second factor stays", refusal))?;
            print(&format!("{name} signs in with the password alone, until a second factor is set up again\n"))
        }
        User::LetIn { name, .. } => {
            ledger.shut_user_out(&name, false, BY).await.map_err(|refusal| failed("not let in", refusal))?;
            print(&format!("{name} may sign in again\n"))
        }
    }
}

async fn link(ledger: &Ledger, name: &str, json: bool) -> Result<(), Failure> {
    let made = ledger.invite_user(name, BY).await;
    let (token, until) = made.map_err(|refusal| failed("no link was made; `user link` makes one", refusal))?;
    let path = format!("/console/password/{token}");
    if json {
        return print_json(&serde_json::json!({ "name": name, "path": path, "expires_at": until.to_string() }));
    }
    print(&format!("{path}\n"))
}
