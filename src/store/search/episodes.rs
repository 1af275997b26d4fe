//! What an episode is found by: title, description, team, season and number, and what its metadata says.

use callboard_actors::model::episode::{Episode, Fields};
use callboard_actors::model::search::Kind;
use uuid::Uuid;

use super::Thing;
use crate::store::words::{Document, Room, Texts};
use crate::store::{Conn, Result, episodes};

/// As the index takes it in.
pub fn document(fields: &Fields) -> Document {
    super::document(Kind::Episode, &texts(fields))
}

fn texts(fields: &Fields) -> Texts {
    let mut texts = Texts::of(Some(&fields.title), Room::LARGE);
    texts.add(4, fields.description.as_deref());
    texts.add(2, fields.team.as_deref());
    // As they are said (`S02E07`), and each by itself.
    let number = fields.episode_number;
    let said = match fields.season {
        Some(season) => format!("S{season:02}E{number:02}"),
        None => format!("E{number:02}"),
    };
    texts.add(2, Some(&said));
    if let Some(season) = fields.season {
        texts.add(2, Some(&season.to_string()));
    }
    texts.add(2, Some(&number.to_string()));
    if let Some(metadata) = &fields.metadata {
        texts.add_fields(metadata);
    }
    texts
}

pub(super) async fn read(conn: &mut Conn, ids: &[Uuid]) -> Result<Vec<Thing>> {
    let episodes = episodes::these(conn, ids).await?;
    Ok(episodes.into_iter().map(thing).collect())
}

fn thing(episode: Episode) -> Thing {
    Thing {
        kind: Kind::Episode,
        id: episode.id,
        texts: texts(&episode.fields),
        title: episode.fields.title,
        updated_at: episode.updated_at,
    }
}
