//! That pages are read by an index, whatever the filters, as SQLite plans them.

use callboard_actors::runtime::Clock;
use uuid::Uuid;

use crate::store::{Result, Store};

/// How SQLite reads such a page.
macro_rules! plan {
    ($store:ident, $driving:literal) => {{
        let mut conn = $store.read().await.unwrap();
        let text = concat!("EXPLAIN QUERY PLAN ", page!($driving));
        let lines: Result<Vec<(i64, i64, i64, String)>> = sql!(
            &mut conn, text, 21_i64, i64::MAX, i64::MIN, "x", "x", "x", Uuid::nil(), None::<i64>, None::<i64>, false,
            Uuid::nil(), Uuid::max(), 21_i64 => all (i64, i64, i64, String)
        );
        let lines = lines.unwrap().into_iter().map(|line| line.3);
        lines.filter(|line| line.contains(" a ")).collect::<Vec<_>>()
    }};
}

#[tokio::test]
async fn every_page_is_a_range_of_an_index_read_in_order() {
    let folder = std::env::temp_dir().join(format!("callboard-plans-{}", Uuid::new_v4().simple()));
    let url = format!("sqlite://{}/test.db", folder.display());
    let store = Store::open(&url, Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    let plans = [
        (plan!(store, "a.user_id = $7"), "activity_user"),
        (plan!(store, "a.action = $4"), "activity_action"),
        (plan!(store, "a.resource_type = $5"), "activity_type"),
        (plan!(store, "a.seq < $2"), "sqlite_autoindex_activity_2"),
        (plan!(store, "a.seen_by = $11"), "activity_seen"),
    ];
    for (lines, index) in plans {
        let [public, own] = &lines[..] else {
            panic!("{lines:?}")
        };
        assert!(
            public.contains(&format!("USING INDEX {index} ")),
            "{index}: {lines:?}"
        );
        assert!(
            own.contains("USING INDEX activity_seen "),
            "{index}: {lines:?}"
        );
        assert!(
            lines.iter().all(|line| line.contains("seq<?")),
            "{index}: {lines:?}"
        );
    }
    store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}
