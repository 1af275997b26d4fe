//! Users of an outside issuer.

use callboard_actors::model::identity::{Role, User};

use super::super::convert::no_nul;
use super::super::{By, Conn, Result, Store, StoreError};
use super::{NewUser, Row, changed, check, create, email_key};

/// Somebody as an outside issuer's token describes them.
#[derive(Clone, Debug)]
pub struct Outsider {
    /// The issuer and the subject, as one word.
    pub subject: String,
    pub email: String,
    pub name: String,
    pub role: Role,
    pub team: Option<String>,
}

/// The user whom an outside issuer's token describes, made at first sight. One with the same e-mail that belongs to no
/// issuer yet becomes theirs.
pub async fn ensure_user_from_issuer(store: &Store, outsider: Outsider) -> Result<User> {
    no_nul([("sub", Some(outsider.subject.as_str()))])?;
    if let Some(user) = by_subject(&mut store.read().await?, &outsider.subject).await? {
        return Ok(user);
    }
    let new = NewUser {
        email: outsider.email,
        name: outsider.name,
        role: outsider.role,
        team: outsider.team,
        password_hash: None,
    };
    check(&new)?;
    let now = store.now();
    let subject = outsider.subject.clone();
    let made = store
        .write(move |tx| {
            Box::pin(async move {
                let adopted = sql!(
                    tx,
                    concat!("UPDATE users SET subject = $1 WHERE email_key = $2 AND subject IS NULL RETURNING ",
                            columns!()),
                    &subject, email_key(&new.email) => optional Row
                )?;
                match adopted {
                    Some(row) => {
                        let user = row.user()?;
                        // Whose account it is now must not go unseen.
                        changed(tx, &user, &user, &["subject"], now, By::nobody())?;
                        Ok(user)
                    }
                    None => Ok(create(tx, new, Some(subject), now, By::nobody()).await?.0),
                }
            })
        })
        .await;
    match made {
        // Two first requests at once: the other one made it.
        Err(conflict @ StoreError::Conflict { .. }) => {
            by_subject(&mut store.read().await?, &outsider.subject)
                .await?
                .ok_or(conflict)
        }
        made => made,
    }
}

async fn by_subject(conn: &mut Conn, subject: &str) -> Result<Option<User>> {
    sql!(
        conn,
        concat!("SELECT ", columns!(), " FROM users WHERE subject = $1"), subject => optional Row
    )?
    .map(Row::user)
    .transpose()
}
