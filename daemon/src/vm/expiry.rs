//! When the time of a VM is over.

use std::time::Duration;

use crate::context::now;
use crate::store::VmRecord;

/// How often the clock is looked at: it may be set, and the host may sleep.
const LOOK: Duration = Duration::from_secs(30);
/// When a removal that failed is tried again.
const AGAIN: i64 = 60;

/// Whether the moment, in seconds since the epoch, has come.
pub(super) fn is_over(expires_at: Option<i64>) -> bool {
    expires_at.is_some_and(|moment| moment <= now())
}

/// Returns when the moment has come; never where there is none.
pub(super) async fn wait(expires_at: Option<i64>) {
    let Some(moment) = expires_at else { return std::future::pending().await };
    while let Ok(left @ 1..) = u64::try_from(moment.saturating_sub(now())) {
        tokio::time::sleep(Duration::from_secs(left).min(LOOK)).await;
    }
}

/// Gives a VM that could not be removed some more time.
pub(super) fn postpone(record: &mut VmRecord) {
    record.expires_at = Some(now().saturating_add(AGAIN));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_moment_is_waited_for() {
        tokio::time::timeout(Duration::from_secs(20), wait(Some(now() + 1))).await.unwrap();
        tokio::time::timeout(Duration::from_secs(20), wait(Some(i64::MIN))).await.unwrap();
        let never = tokio::time::timeout(Duration::from_millis(50), wait(None)).await;
        let later = tokio::time::timeout(Duration::from_millis(50), wait(Some(i64::MAX))).await;
        assert!(never.is_err() && later.is_err());
        assert!(is_over(Some(now())) && !is_over(Some(now() + 100)) && !is_over(None));
    }
}
