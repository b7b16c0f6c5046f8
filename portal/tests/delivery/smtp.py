"""A real SMTP server (aiosmtpd) that behaves as its receivers' names say, and writes what it took as JSON lines.

Argument: JSON with `out` (file), and optionally `certificate`, `key`, `implicit` (TLS from the first byte), `user`, `password`.
Prints its port.

  busy@…  451 at the first try
  gone@…  550
  cut@…   takes the first mail and breaks the connection instead of saying so
"""

import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

options = json.loads(sys.argv[1])
seen = set()


def first(key):
    new = key not in seen
    seen.add(key)
    return new


def write(record):
    with open(options["out"], "a", encoding="utf-8") as out:
        out.write(json.dumps(record) + "\n")


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, mail_options):
        write({"event": "mail", "address": address})
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        name = address.split("@")[0]
        if name == "gone":
            return "550 5.1.1 no such mailbox"
        if name == "busy" and first(address):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        parts = []
        for part in message.walk():
            if not part.is_multipart():
                content = part.get_payload(decode=True)
                text = content.decode("utf-8") if part.get_content_maintype() == "text" else ""
                start = content[:5].decode("latin-1")
                parts.append({"type": part.get_content_type(), "name": part.get_filename(), "start": start, "text": text})
        write({
            "event": "data", "mail_from": envelope.mail_from, "to": envelope.rcpt_tos, "parts": parts,
            "headers": {name: str(value) for name, value in message.items()}, "names": message.keys(),
            "tls": session.ssl is not None, "bytes": len(envelope.content),
        })
        if envelope.rcpt_tos[0].startswith("cut@") and first(envelope.rcpt_tos[0]):
            server.transport.abort()
        return "250 2.0.0 taken"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login.decode() == options["user"] and data.password.decode() == options["password"]
    return AuthResult(success=good, handled=good)


async def main():
    context = None
    if "certificate" in options:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options["certificate"], options["key"])
    implicit = options.get("implicit", False)
    wants = "user" in options

    def protocol():
        return SMTP(
            Handler(), hostname="127.0.0.1", tls_context=None if implicit else context,
            require_starttls=context is not None and not implicit, authenticator=authenticate if wants else None,
            auth_required=wants, auth_require_tls=not implicit, data_size_limit=1 << 22,
        )

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0, ssl=context if implicit else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
