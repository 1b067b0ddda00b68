from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path

import pytest
from fake_services import b64, png
from pictures import marked, png_bomb, scans_bomb
from PIL import Image
from remote_cases import handle_of, picture_file, run, z_of

from genevolve.grammar.errors import AuthorError, ServiceError
from genevolve.interpreter.renderers.remote.encoding import UploadLimits, Uploads, read_picture, read_uploads
from genevolve.interpreter.values import ImageHandle


def uploads(*handles: ImageHandle, limits: UploadLimits | None = None) -> Uploads:
    return run(read_uploads(z_of(handles), handles, limits or UploadLimits()))


def noise(path: Path, size: tuple[int, int], mode: str = "RGB") -> ImageHandle:
    image = Image.effect_noise(size, 90).convert("RGB")
    if mode == "RGBA":
        image.putalpha(Image.effect_noise(size, 90))
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return handle_of(path, out.getvalue(), size)


class TestUploads:
    @pytest.mark.parametrize(
        ("kind", "type_"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")]
    )
    def test_a_file_of_pixels_is_sent_as_it_is(self, tmp_path: Path, kind: str, type_: str) -> None:
        # The name lies: what counts is what decodes.
        handle = picture_file(tmp_path / "x.dat", kind=kind)
        (upload,) = uploads(handle).items
        assert upload.data == handle.file.read_bytes()
        assert upload.media_type == type_
        assert upload.data_uri == f"data:{type_};base64,{base64.b64encode(upload.data).decode()}"

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
    def test_notes_of_a_camera_stay_at_home(self, tmp_path: Path, kind: str) -> None:
        data = marked(kind)
        (upload,) = uploads(handle_of(tmp_path / "x", data, (12, 20))).items
        assert b"PRIVATE-METADATA" in data
        assert b"PRIVATE-METADATA" not in upload.data
        with Image.open(io.BytesIO(upload.data)) as image:
            assert image.size == (12, 20)  # upright

    def test_a_large_file_is_made_smaller_and_noted(self, tmp_path: Path) -> None:
        handle = noise(tmp_path / "big.png", (2600, 1300))
        found = uploads(handle, limits=UploadLimits(each=4_000_000, together=4_000_000))
        assert handle.file.stat().st_size > 4_000_000
        assert len(found.items[0].data) <= 4_000_000
        assert found.notes == (
            "reference image 1 was sent at 2048x1024 instead of 2600x1300: it is too large",
        )

    def test_what_stays_too_large_is_refused(self, tmp_path: Path) -> None:
        handle = noise(tmp_path / "big.png", (600, 600), "RGBA")
        with pytest.raises(AuthorError, match="too large to send") as caught:
            uploads(handle, limits=UploadLimits(each=100_000, together=100_000))
        assert caught.value.code == "GP415"

    def test_the_room_is_shared(self, tmp_path: Path) -> None:
        handles = [noise(tmp_path / f"{i}.png", (300, 300)) for i in range(3)]
        size = handles[0].file.stat().st_size
        found = uploads(*handles, limits=UploadLimits(each=size, together=2 * size))
        assert sum(len(upload.data) for upload in found.items) <= 2 * size
        assert len(found.notes) == 3


class TestPictures:
    def read(self, payload: object) -> Image.Image:
        return run(read_picture(payload, "the service"))

    @pytest.mark.parametrize(
        "payload",
        [
            png(),
            b64(png()),
            f"data:image/png;base64,{b64(png())}",
            "\n".join([b64(png())[:40], b64(png())[40:]]),
        ],
    )
    def test_bytes_and_base64_and_data_uris(self, payload: object) -> None:
        assert self.read(payload).size == (64, 48)

    def test_only_pixels_are_kept(self) -> None:
        image = self.read(marked("JPEG"))
        assert image.size == (12, 20)
        assert not image.info
        assert not image.getexif()

    @pytest.mark.parametrize(
        ("payload", "told"),
        [
            (None, "nothing where base64 belongs"),
            ("", "nothing where base64 belongs"),
            (17, "nothing where base64 belongs"),
            ("abc", "base64 is broken"),
            ("äöü", "base64 is broken"),
            ("A" * (100 * 1024 * 1024), "more than"),
            (b"", "empty"),
            (b"%PDF-1.7", "not a PNG"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not a PNG"),
            (png()[:70], "cut short"),
            (png_bomb(30_000, 30_000), "pixels"),
            (scans_bomb(1000), "scans"),
        ],
    )
    def test_strange_answers(self, payload: object, told: str) -> None:
        with pytest.raises(ServiceError, match=told):
            self.read(payload)

    def test_the_loop_goes_on_meanwhile(self) -> None:
        data = png((3000, 3000))

        async def body() -> int:
            ticks = 0
            task = asyncio.create_task(read_picture(data, "the service"))
            while not task.done():
                await asyncio.sleep(0.002)
                ticks += 1
            return ticks

        assert run(body()) >= 3
