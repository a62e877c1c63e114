//! Tells of changes in folders: one watcher for all links of the process, since the operating
//! system gives each user only so many.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::SystemTime;

use notify::event::{EventKind, ModifyKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

static OF_THE_PROCESS: Mutex<Weak<Shared>> = Mutex::new(Weak::new());

/// One link's share of the watcher.
#[derive(Debug)]
pub(crate) struct Watcher {
    shared: Arc<Shared>,
    news: Arc<Notify>,
}

/// Which of the folders that have had a path it is: device, inode, and when it was made, since file
/// systems use inodes again.
pub(crate) type FolderId = (u64, u64, Option<SystemTime>);

#[derive(Debug)]
struct Shared {
    /// Locked while a folder is added or removed, and never by the watcher's own thread.
    inotify: Mutex<RecommendedWatcher>,
    folders: Arc<Mutex<Folders>>,
}

/// The folders that are watched, and who wants to hear of each.
type Folders = HashMap<PathBuf, (FolderId, Vec<Arc<Notify>>)>;

impl Watcher {
    /// `news` is notified of changes in the folders that will be watched; never of what they are.
    pub(crate) fn new(news: Arc<Notify>) -> notify::Result<Self> {
        let mut process = lock(&OF_THE_PROCESS);
        if let Some(shared) = process.upgrade() {
            return Ok(Watcher { shared, news });
        }
        let folders = Arc::<Mutex<Folders>>::default();
        let told = Arc::clone(&folders);
        let inotify = notify::recommended_watcher(move |event| tell(&told, event))?;
        let shared = Arc::new(Shared { inotify: Mutex::new(inotify), folders });
        *process = Arc::downgrade(&shared);
        Ok(Watcher { shared, news })
    }

    /// Watches a folder. One that was removed and made again under the same path is another one.
    pub(crate) fn watch(&self, folder: &Path, id: FolderId) -> notify::Result<()> {
        // As the watcher names it when it tells of it.
        let folder = std::path::absolute(folder)?;
        let mut inotify = lock(&self.shared.inotify);
        let is_watched = {
            let mut folders = lock(&self.shared.folders);
            match folders.get_mut(&folder) {
                Some((known, news)) if *known == id => {
                    if !news.iter().any(|other| Arc::ptr_eq(other, &self.news)) {
                        news.push(Arc::clone(&self.news));
                    }
                    true
                }
                _ => false,
            }
        };
        if is_watched {
            return Ok(());
        }
        // The watch of the folder that had this path before may be gone with it.
        let _ = inotify.unwatch(&folder);
        let mut folders = lock(&self.shared.folders);
        let (known, news) = folders.entry(folder.clone()).or_insert((id, Vec::new()));
        *known = id;
        if !news.iter().any(|other| Arc::ptr_eq(other, &self.news)) {
            news.push(Arc::clone(&self.news));
        }
        // Its thread may want to tell somebody before it takes the folder.
        drop(folders);
        let watched = inotify.watch(&folder, RecursiveMode::NonRecursive);
        if watched.is_err() {
            lock(&self.shared.folders).remove(&folder);
        }
        watched
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut inotify = lock(&self.shared.inotify);
        let mut unwanted = Vec::new();
        lock(&self.shared.folders).retain(|folder, (_, news)| {
            news.retain(|other| !Arc::ptr_eq(other, &self.news));
            if news.is_empty() {
                unwanted.push(folder.clone());
            }
            !news.is_empty()
        });
        for folder in unwanted {
            let _ = inotify.unwatch(&folder);
        }
    }
}

/// Runs on the watcher's thread, which does nothing else.
fn tell(folders: &Mutex<Folders>, event: notify::Result<notify::Event>) {
    let folders = lock(folders);
    let event = match event {
        Ok(event) if !event.need_rescan() => event,
        _ => return folders.values().flat_map(|(_, news)| news).for_each(|it| it.notify_one()),
    };
    // Looking through a folder is an event as well, and must not lead to another look.
    let is_news = matches!(
        event.kind,
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
    );
    if is_news {
        for path in &event.paths {
            // Something in a folder, or a folder itself.
            for folder in path.parent().into_iter().chain([&**path]) {
                if let Some((_, news)) = folders.get(folder) {
                    news.iter().for_each(|it| it.notify_one());
                }
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing in here is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;

    fn id(folder: &Path) -> FolderId {
        let found = fs::metadata(folder).unwrap();
        (found.dev(), found.ino(), found.created().ok())
    }

    async fn hears(news: &Notify) -> bool {
        tokio::time::timeout(Duration::from_secs(10), news.notified()).await.is_ok()
    }

    #[tokio::test]
    async fn each_hears_of_the_folders_it_watches_and_of_no_others() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        let (news, others) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let watcher = Watcher::new(Arc::clone(&news)).unwrap();
        let other = Watcher::new(Arc::clone(&others)).unwrap();
        for folder in [&one, &two] {
            fs::create_dir(folder).unwrap();
            other.watch(folder, id(folder)).unwrap();
        }
        watcher.watch(&one, id(&one)).unwrap();

        fs::write(two.join("file"), "").unwrap();
        assert!(hears(&others).await);
        fs::rename(two.join("file"), one.join("file")).unwrap();
        assert!(hears(&news).await && hears(&others).await);

        drop(other);
        fs::remove_file(one.join("file")).unwrap();
        assert!(hears(&news).await);
    }

    #[tokio::test]
    async fn a_folder_that_was_made_again_is_watched_again() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("folder");
        let news = Arc::new(Notify::new());
        let watcher = Watcher::new(Arc::clone(&news)).unwrap();
        for _ in 0..3 {
            fs::create_dir(&folder).unwrap();
            watcher.watch(&folder, id(&folder)).unwrap();
            fs::remove_dir(&folder).unwrap();
            assert!(hears(&news).await);
        }
    }

    #[tokio::test]
    async fn looking_is_no_news() {
        let dir = tempfile::tempdir().unwrap();
        let news = Arc::new(Notify::new());
        let watcher = Watcher::new(Arc::clone(&news)).unwrap();
        watcher.watch(dir.path(), id(dir.path())).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(dir.path().join("file"), "").unwrap();
        // The first that is heard of is the file, so what came before it was not told.
        assert!(hears(&news).await);
        let again = tokio::time::timeout(Duration::from_millis(20), news.notified());
        assert!(again.await.is_err());
    }
}
