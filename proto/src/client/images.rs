//! Images: made, listed, removed.

use futures_util::{Stream, StreamExt};

use super::{Client, Events, Result, events};
use crate::wire::daemon as wire;
use crate::{Image, ImageName, ImageSource, Mib};

/// How an import begins.
#[derive(Debug, Clone)]
pub struct ImportHeader {
    /// The image's name.
    pub name: ImageName,
    /// Size of the root filesystem; absent: the daemon chooses.
    pub size: Option<Mib>,
    /// Bytes of the tar, when known.
    pub tar_bytes: Option<u64>,
    /// Kernel that overrides the image's own.
    pub kernel: Option<Vec<u8>>,
    /// Initial RAM disk that overrides the image's own.
    pub initrd: Option<Vec<u8>>,
}
impl Client {
    /// Makes an image from the chunks of a tar stream. A stream of chunks that ends without
    /// an error is taken as whole.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn import_image(
        &mut self,
        header: ImportHeader,
        chunks: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static,
    ) -> Result<Events<Image>> {
        use wire::import_image_request::Part;
        let message = |part| wire::ImportImageRequest { part: Some(part) };
        let header = wire::ImportHeader {
            name: header.name.to_string(),
            size_mib: header.size.map_or(0, Mib::get),
            tar_bytes: header.tar_bytes.unwrap_or(0),
            kernel: header.kernel,
            initrd: header.initrd,
        };
        // A chunk that cannot be read ends the stream without its end mark: the daemon
        // then knows that it was cut.
        let chunks = chunks
            .map(Ok::<_, ()>)
            .chain(futures_util::stream::once(async { Err(()) }))
            .scan(false, move |cut, item| {
                let part = match item {
                    Ok(Ok(chunk)) if !*cut => Some(Part::Chunk(chunk)),
                    Err(()) if !*cut => Some(Part::End(wire::ImportEnd {})),
                    _ => {
                        *cut = true;
                        None
                    }
                };
                std::future::ready(part)
            });
        let parts = futures_util::stream::once(async move { Part::Header(header) }).chain(chunks);
        Ok(events(self.inner.import_image(parts.map(message)).await?.into_inner()))
    }

    /// Makes an image from a distribution's packages.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn build_image(
        &mut self,
        name: &ImageName,
        size: Option<Mib>,
        source: ImageSource,
    ) -> Result<Events<Image>> {
        use wire::build_image_request::Source;
        let ImageSource::Debian { suite, mirror } = source;
        let request = wire::BuildImageRequest {
            name: name.to_string(),
            size_mib: size.map_or(0, Mib::get),
            source: Some(Source::Debian(wire::DebianSource {
                suite,
                mirror: mirror.unwrap_or_default(),
            })),
        };
        Ok(events(self.inner.build_image(request).await?.into_inner()))
    }

    /// All images.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn list_images(&mut self) -> Result<Vec<Image>> {
        let answer = self.inner.list_images(wire::ListImagesRequest {}).await?.into_inner();
        Ok(answer.images.into_iter().map(Image::try_from).collect::<Result<_, _>>()?)
    }

    /// One image.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn image(&mut self, name: &ImageName) -> Result<Image> {
        let request = wire::GetImageRequest { name: name.to_string() };
        Ok(self.inner.get_image(request).await?.into_inner().try_into()?)
    }

    /// Removes an image that no VM uses.
    ///
    /// # Errors
    /// The daemon's refusal.
    pub async fn remove_image(&mut self, name: &ImageName) -> Result<()> {
        let request = wire::RemoveImageRequest { name: name.to_string() };
        self.inner.remove_image(request).await?;
        Ok(())
    }
}
