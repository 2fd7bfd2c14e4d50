//! `wasi:filesystem/types`, function by function. Each finds the handle, says what the access forbids, and passes the rest on.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use cap_std::fs::MetadataExt as _;
use wasmtime::component::Resource;
use wasmtime_wasi::filesystem::{Descriptor, OpenMode, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types::{
    self, DescriptorFlags, DescriptorStat, DescriptorType, ErrorCode, HostDescriptor, HostDirectoryEntryStream,
    MetadataHashValue, OpenFlags, PathFlags,
};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult, ReaddirIterator};

use super::Access;
use crate::files::{Blocking, Kind, Opened, Opening, Position, Reading, WriteFailed, Writing};
use crate::host::State;

type Handle = Resource<Descriptor>;

impl State {
    fn opened(&self, handle: &Handle) -> FsResult<(Arc<Opened>, Kind)> {
        let opened = self.files.as_ref().and_then(|files| files.opened.get(&handle.rep()));
        Ok(opened.cloned().ok_or(ErrorCode::BadDescriptor)?)
    }

    fn folder(&self, handle: &Handle) -> FsResult<Arc<Opened>> {
        match self.opened(handle)? {
            (opened, Kind::Directory) => Ok(opened),
            (_, Kind::File) => Err(ErrorCode::NotDirectory.into()),
        }
    }

    /// The folder, if something in it may be changed.
    fn folder_to_change(&self, handle: &Handle) -> FsResult<Arc<Opened>> {
        self.may_write()?;
        self.folder(handle)
    }

    fn file_to_write(&self, handle: &Handle) -> FsResult<Arc<Opened>> {
        self.may_write()?;
        match self.opened(handle)? {
            (opened, Kind::File) => Ok(opened),
            (_, Kind::Directory) => Err(ErrorCode::IsDirectory.into()),
        }
    }

    fn may_write(&self) -> FsResult<()> {
        match self.files.as_ref().map(|files| files.access) {
            Some(Access::ReadWrite) => Ok(()),
            Some(Access::ReadOnly) | None => Err(ErrorCode::ReadOnly.into()),
        }
    }
}

impl types::Host for State {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        if let Some(WriteFailed(code)) = self.table.get(&error)?.downcast_ref() {
            return Ok(Some(*code));
        }
        self.filesystem().filesystem_error_code(error)
    }
}

impl HostDescriptor for State {
    async fn advise(&mut self, handle: Handle, _: u64, _: u64, _: types::Advice) -> FsResult<()> {
        // Advice may be ignored, and this one is: it could only make the machine read more.
        self.opened(&handle).map(|_| ())
    }

    async fn sync_data(&mut self, handle: Handle) -> FsResult<()> {
        self.sync(handle).await
    }

    async fn get_flags(&mut self, handle: Handle) -> FsResult<DescriptorFlags> {
        self.filesystem().get_flags(handle).await
    }

    async fn get_type(&mut self, handle: Handle) -> FsResult<DescriptorType> {
        Ok(match self.opened(&handle)?.1 {
            Kind::File => DescriptorType::RegularFile,
            Kind::Directory => DescriptorType::Directory,
        })
    }

    async fn set_size(&mut self, handle: Handle, size: u64) -> FsResult<()> {
        let file = self.file_to_write(&handle)?;
        Blocking::run(move || file.set_len(size)).await
    }

    async fn set_times(&mut self, handle: Handle, _: types::NewTimestamp, _: types::NewTimestamp) -> FsResult<()> {
        self.opened(&handle)?;
        Err(ErrorCode::Unsupported.into())
    }

    async fn read(&mut self, handle: Handle, len: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.filesystem().read(handle, len, offset).await
    }

    async fn write(&mut self, handle: Handle, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        let file = self.file_to_write(&handle)?;
        Blocking::run(move || {
            file.write(&bytes, Position::At(offset))?;
            Ok(bytes.len() as u64)
        })
        .await
    }

    async fn read_directory(&mut self, handle: Handle) -> FsResult<Resource<ReaddirIterator>> {
        let folder = self.folder(&handle)?;
        if !self.files.as_ref().is_some_and(|files| files.may_list_more()) {
            return Err(ErrorCode::InsufficientMemory.into());
        }
        Blocking::run(move || folder.may_be_listed()).await?;
        let listing = self.filesystem().read_directory(handle).await?;
        if let Some(files) = &mut self.files {
            files.listings.insert(listing.rep());
        }
        Ok(listing)
    }

    async fn sync(&mut self, handle: Handle) -> FsResult<()> {
        let (opened, kind) = self.opened(&handle)?;
        Blocking::run(move || opened.sync(kind)).await
    }

    async fn create_directory_at(&mut self, handle: Handle, path: String) -> FsResult<()> {
        let folder = self.folder_to_change(&handle)?;
        Blocking::run(move || folder.create_directory(&path)).await
    }

    async fn stat(&mut self, handle: Handle) -> FsResult<DescriptorStat> {
        let stat = self.filesystem().stat(handle).await?;
        Ok(timeless(stat.type_, stat.size))
    }

    async fn stat_at(&mut self, handle: Handle, flags: PathFlags, path: String) -> FsResult<DescriptorStat> {
        let folder = self.folder(&handle)?;
        let found = Blocking::run(move || folder.metadata(&path, follows(flags))).await?;
        let kind = if found.is_dir() {
            DescriptorType::Directory
        } else if found.is_file() {
            DescriptorType::RegularFile
        } else if found.is_symlink() {
            DescriptorType::SymbolicLink
        } else {
            DescriptorType::Unknown
        };
        Ok(timeless(kind, found.len()))
    }

    async fn set_times_at(
        &mut self,
        handle: Handle,
        _: PathFlags,
        _: String,
        _: types::NewTimestamp,
        _: types::NewTimestamp,
    ) -> FsResult<()> {
        self.folder(&handle)?;
        Err(ErrorCode::Unsupported.into())
    }

    /// With a second name a file would outlive its removal from the account.
    async fn link_at(&mut self, handle: Handle, _: PathFlags, _: String, _: Handle, _: String) -> FsResult<()> {
        self.folder(&handle)?;
        Err(ErrorCode::NotPermitted.into())
    }

    async fn open_at(
        &mut self,
        handle: Handle,
        path_flags: PathFlags,
        path: String,
        open_flags: OpenFlags,
        flags: DescriptorFlags,
    ) -> FsResult<Handle> {
        let folder = self.folder(&handle)?;
        let how = Opening {
            follow: follows(path_flags),
            create: open_flags.contains(OpenFlags::CREATE),
            exclusive: open_flags.contains(OpenFlags::EXCLUSIVE),
            truncate: open_flags.contains(OpenFlags::TRUNCATE),
            directory: open_flags.contains(OpenFlags::DIRECTORY),
            read: flags.contains(DescriptorFlags::READ),
            write: flags.contains(DescriptorFlags::WRITE),
        };
        if how.create || how.truncate || how.write {
            self.may_write()?;
        }
        let each_write_synced = DescriptorFlags::FILE_INTEGRITY_SYNC
            | DescriptorFlags::DATA_INTEGRITY_SYNC
            | DescriptorFlags::REQUESTED_WRITE_SYNC;
        if flags.intersects(each_write_synced) {
            return Err(ErrorCode::Unsupported.into());
        }
        let terms = self.files.as_ref().ok_or(ErrorCode::BadDescriptor)?.terms()?;
        let opened = Blocking::run(move || folder.open(&path, how, terms)).await?;
        let mut mode = OpenMode::empty();
        mode.set(OpenMode::WRITE, how.create || how.truncate || how.write);
        mode.set(OpenMode::READ, how.read || mode.is_empty());
        self.hand_out(opened, mode).map_err(FsError::trap)
    }

    fn drop(&mut self, handle: Handle) -> wasmtime::Result<()> {
        let rep = handle.rep();
        HostDescriptor::drop(&mut self.filesystem(), handle)?;
        if let Some(files) = &mut self.files {
            files.opened.remove(&rep);
        }
        Ok(())
    }

    /// There are no links but those of an operator, whose targets are no business of the guest's.
    async fn readlink_at(&mut self, handle: Handle, _: String) -> FsResult<String> {
        self.folder(&handle)?;
        Err(ErrorCode::NotPermitted.into())
    }

    async fn remove_directory_at(&mut self, handle: Handle, path: String) -> FsResult<()> {
        let folder = self.folder_to_change(&handle)?;
        Blocking::run(move || folder.remove_directory(&path)).await
    }

    async fn rename_at(&mut self, handle: Handle, from: String, to_handle: Handle, to: String) -> FsResult<()> {
        let (folder, to_folder) = (self.folder_to_change(&handle)?, self.folder_to_change(&to_handle)?);
        Blocking::run(move || folder.rename(&from, &to_folder, &to)).await
    }

    /// A link could lead anywhere once somebody else follows it: a backup, an operator.
    async fn symlink_at(&mut self, handle: Handle, _: String, _: String) -> FsResult<()> {
        self.folder(&handle)?;
        Err(ErrorCode::NotPermitted.into())
    }

    async fn unlink_file_at(&mut self, handle: Handle, path: String) -> FsResult<()> {
        let folder = self.folder_to_change(&handle)?;
        Blocking::run(move || folder.remove_file(&path)).await
    }

    fn read_via_stream(&mut self, handle: Handle, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let (file, _) = self.opened(&handle)?;
        let stream = self.filesystem().read_via_stream(handle, offset)?;
        let stream = self.table.delete(stream)?;
        let stream: DynInputStream = Box::new(Reading::new(stream, file));
        Ok(self.table.push(stream)?)
    }

    fn write_via_stream(&mut self, handle: Handle, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file_to_write(&handle)?;
        let stream: DynOutputStream = Box::new(Writing::new(file, Position::At(offset)));
        Ok(self.table.push(stream)?)
    }

    fn append_via_stream(&mut self, handle: Handle) -> FsResult<Resource<DynOutputStream>> {
        let file = self.file_to_write(&handle)?;
        let stream: DynOutputStream = Box::new(Writing::new(file, Position::End));
        Ok(self.table.push(stream)?)
    }

    async fn is_same_object(&mut self, one: Handle, other: Handle) -> wasmtime::Result<bool> {
        self.filesystem().is_same_object(one, other).await
    }

    async fn metadata_hash(&mut self, handle: Handle) -> FsResult<MetadataHashValue> {
        Ok(hash(self.opened(&handle)?.0.inode()))
    }

    async fn metadata_hash_at(
        &mut self,
        handle: Handle,
        flags: PathFlags,
        path: String,
    ) -> FsResult<MetadataHashValue> {
        let folder = self.folder(&handle)?;
        let found = Blocking::run(move || folder.metadata(&path, follows(flags))).await?;
        Ok(hash((found.dev(), found.ino())))
    }
}

impl HostDirectoryEntryStream for State {
    async fn read_directory_entry(
        &mut self,
        stream: Resource<ReaddirIterator>,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        self.filesystem().read_directory_entry(stream).await
    }

    fn drop(&mut self, stream: Resource<ReaddirIterator>) -> wasmtime::Result<()> {
        if let Some(files) = &mut self.files {
            files.listings.remove(&stream.rep());
        }
        HostDirectoryEntryStream::drop(&mut self.filesystem(), stream)
    }
}

fn follows(flags: PathFlags) -> bool {
    flags.contains(PathFlags::SYMLINK_FOLLOW)
}

/// Files carry no times: those would be another clock than the call's own.
fn timeless(type_: DescriptorType, size: u64) -> DescriptorStat {
    DescriptorStat {
        type_,
        link_count: 1,
        size,
        data_access_timestamp: None,
        data_modification_timestamp: None,
        status_change_timestamp: None,
    }
}

/// Tells files apart: device and inode, hashed.
fn hash((device, number): (u64, u64)) -> MetadataHashValue {
    let half = |of: (u64, u64)| {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        hasher.finish()
    };
    MetadataHashValue { lower: half((device, number)), upper: half((number, device)) }
}
