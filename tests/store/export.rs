//! Reading the whole history out, page by page.

use callboard::store::activity::{Export, Filter, Reader};
use callboard::store::record;
use callboard_actors::model::identity::{Role, UserRef};
use callboard_actors::model::record::{Resource, Seq};
use callboard_actors::ports::ActivitySink;
use uuid::Uuid;

use crate::bed::{Bed, entry};

on_both!(
    every_row_comes_once_in_order_whatever_a_page_holds,
    an_export_goes_on_where_another_was_cut_off,
    what_a_filter_leaves_comes_however_far_apart_it_is,
    a_row_is_shown_to_whoever_may_see_it,
);

/// So many rows of an episode; every hundredth is a job's, and every hundredth but one an admin's.
async fn fill(bed: &Bed, count: u64, who: &UserRef) {
    let who = who.clone();
    let write = bed.store.write(move |tx| {
        Box::pin(async move {
            for number in 0..count {
                let mut new = entry(Uuid::now_v7());
                let (event, kind) = match number % 100 {
                    0 => ("job_failed", "job"),
                    1 => ("admin_action", "socket"),
                    _ => ("episode_updated", "episode"),
                };
                new.event = event.into();
                new.actor = Some(who.clone());
                new.resource = Some(Resource {
                    kind: kind.into(),
                    id: "1".into(),
                });
                tx.append(new)?;
            }
            Ok(())
        })
    });
    write.await.unwrap();
    loop {
        let cursor = ActivitySink::cursor(&bed.store).await.unwrap();
        let batch = record::after(&bed.store, cursor, 500).await.unwrap();
        if batch.is_empty() {
            return;
        }
        ActivitySink::write(&bed.store, batch).await.unwrap();
    }
}

fn ann() -> UserRef {
    UserRef {
        id: Uuid::now_v7(),
        name: "Ann".into(),
    }
}

async fn begun(bed: &Bed, filter: Filter, reader: Reader, after: Seq) -> Export {
    Export::begin(&bed.store, filter, reader, after)
        .await
        .unwrap()
}

async fn rest(mut export: Export) -> Vec<Seq> {
    let mut seqs = Vec::new();
    while let Some(rows) = export.next().await.unwrap() {
        seqs.extend(rows.iter().map(|row| row.seq));
    }
    seqs
}

async fn every_row_comes_once_in_order_whatever_a_page_holds(bed: Bed) {
    let all = Filter::default();
    let none = begun(&bed, all.clone(), Reader::PROGRAM, 0).await;
    assert!(rest(none).await.is_empty());
    let ann = ann();
    fill(&bed, 1_000, &ann).await;
    let mut export = begun(&bed, all.clone(), Reader::PROGRAM, 0).await;
    let first = export.next().await.unwrap().unwrap();
    assert_eq!((first.len(), export.after()), (500, 500));
    // What comes later is another export's, and what goes away meanwhile is missing.
    fill(&bed, 10, &ann).await;
    bed.sql("DELETE FROM activity WHERE seq IN (501, 700, 1000)")
        .await;
    let seqs = rest(export).await;
    let left: Vec<Seq> = (502..1000).filter(|seq| *seq != 700).collect();
    assert_eq!(seqs, left);
}

async fn an_export_goes_on_where_another_was_cut_off(bed: Bed) {
    fill(&bed, 1_300, &ann()).await;
    let whole = rest(begun(&bed, Filter::default(), Reader::PROGRAM, 0).await).await;
    assert_eq!(whole, (1..=1_300).collect::<Vec<_>>());
    for after in [1, 499, 500, 501, 1_299, 1_300, 9_999] {
        let seqs = rest(begun(&bed, Filter::default(), Reader::PROGRAM, after).await).await;
        assert_eq!(seqs, whole[whole.len().min(after as usize)..], "{after}");
    }
}

async fn what_a_filter_leaves_comes_however_far_apart_it_is(bed: Bed) {
    fill(&bed, 300, &ann()).await;
    // Twenty thousand numbers without a row, and as many rows that the filter passes over.
    bed.sql(
        "UPDATE record_head SET last = 30000; UPDATE cursors SET seq = 30000; DELETE FROM record",
    )
    .await;
    fill(&bed, 21_000, &ann()).await;
    let jobs = Filter {
        resource_type: Some("job".into()),
        ..Filter::default()
    };
    let seqs = rest(begun(&bed, jobs, Reader::PROGRAM, 0).await).await;
    assert_eq!(seqs.len(), 3 + 210);
    assert_eq!(&seqs[..4], [1, 101, 201, 30_001]);
    let nothing = Filter {
        action: Some("nothing".into()),
        ..Filter::default()
    };
    assert!(
        rest(begun(&bed, nothing, Reader::PROGRAM, 0).await)
            .await
            .is_empty()
    );
}

async fn a_row_is_shown_to_whoever_may_see_it(bed: Bed) {
    let ann = ann();
    fill(&bed, 200, &ann).await;
    for (id, role, sees) in [
        (ann.id, Role::Viewer, 198),
        (Uuid::now_v7(), Role::Editor, 198),
        (Uuid::now_v7(), Role::Admin, 200),
    ] {
        let reader = Reader { id, role };
        let seqs = rest(begun(&bed, Filter::default(), reader, 0).await).await;
        assert_eq!(seqs.len(), sees, "{role}");
    }
}
