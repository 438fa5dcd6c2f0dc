"""One e-mail to one mail server: sent, refused for good, or worth another try."""

import asyncio
import socket
import ssl
from contextlib import suppress
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Literal, Self

import aiosmtplib

from milepost.settings import Settings

__all__ = ["MailError", "MailServer"]

Security = Literal["starttls", "tls", "none"]

_FAREWELL_S = 2.0


class MailError(Exception):
    """An e-mail was not taken, or nobody knows. `final`: the server will not take this one to this address ever."""

    def __init__(self, why: str, message: str, final: bool = False) -> None:
        super().__init__(message)
        self.why, self.final = why, final


class MailServer:
    """The operator's mail server. The way there is verified; there is no falling back to a way that is not."""

    def __init__(
        self,
        host: str,
        port: int,
        security: Security,
        *,
        user: str = "",
        password: str = "",
        ca_file: str = "",
        timeout_s: float,
    ) -> None:
        """Raises OSError for authorities that cannot be read."""
        self._host, self._port, self._security = host, port, security
        self._user, self._password, self._timeout_s = user, password, timeout_s
        self._tls = ssl.create_default_context()
        if ca_file:
            self._tls.load_verify_locations(ca_file)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings have it. Raises OSError."""
        return cls(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_security,
            user=settings.smtp_user,
            password=settings.smtp_password.get_secret_value(),
            ca_file=settings.smtp_ca_file,
            timeout_s=settings.notices_timeout_ms / 1000,
        )

    async def send(self, message: EmailMessage, address: str) -> str:
        """Hand one e-mail over; what the server said. Raises `MailError`."""
        client = aiosmtplib.SMTP(
            hostname=self._host,
            port=self._port,
            local_hostname=socket.gethostname(),
            timeout=self._timeout_s,
            use_tls=self._security == "tls",
            start_tls=self._security == "starttls",
            tls_context=None if self._security == "none" else self._tls,
            username=self._user or None,
            password=self._password or None,
        )
        sender = parseaddr(str(message["From"]))[1]
        try:
            async with asyncio.timeout(self._timeout_s):
                await client.connect()
                _, answer = await client.send_message(message, sender=sender, recipients=[address])
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refused(error.recipients[0], final=True) from error
        except aiosmtplib.SMTPDataError as error:
            raise _refused(error, final=True) from error
        except aiosmtplib.SMTPResponseException as error:
            # Of the greeting, the login or the sender: about us, which an operator can put right.
            raise _refused(error, final=False) from error
        except TimeoutError as error:
            raise MailError("timeout", f"no answer within {self._timeout_s:g} s") from error
        except ssl.SSLError as error:
            raise MailError("tls", f"{type(error).__name__}: {error}") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailError(*_unsent(error)) from error
        else:
            # It is taken, whatever happens to the farewell.
            with suppress(aiosmtplib.SMTPException, OSError):
                async with asyncio.timeout(_FAREWELL_S):
                    await client.quit()
            return answer
        finally:
            client.close()


def _refused(error: aiosmtplib.SMTPResponseException, final: bool) -> MailError:
    return MailError(f"status {error.code // 100}xx", f"{error.code} {error.message}", final and error.code >= 500)


def _unsent(error: BaseException) -> tuple[str, str]:
    tls = isinstance(error.__cause__, ssl.SSLError)
    return "tls" if tls else "unreachable", f"{type(error).__name__}: {error}"
