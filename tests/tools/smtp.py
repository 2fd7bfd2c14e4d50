"""A real mail server (aiosmtpd) on loopback, for tests. Arguments: starttls, implicit or none; the folder with server.pem and server.key.

It prints a line of JSON when it listens, {"port"}, and one for each mail that it takes: {"message_id", "from", "to", "data", "signed_in"}.
The user `ana@example.com` signs in with `s3cret`. What the name of a recipient begins with decides what happens:
  unknown   550 at RCPT
  later     451 at RCPT the first time, as greylisting does
  full      452 at RCPT always
  cut       the mail is taken, and the connection cut in the place of the answer, the first time
  hold      the mail is taken, and never answered
  spam      554 after the mail
"""
import asyncio, email, json, pathlib, ssl, sys

from aiosmtpd.smtp import SMTP, AuthResult

mode, folder = sys.argv[1], pathlib.Path(sys.argv[2])
seen = set()


def first(what):
    known = what in seen
    seen.add(what)
    return not known


def say(document):
    print(json.dumps(document), flush=True)


class Handler:
    async def handle_MAIL(self, server, session, envelope, address, options):
        if address.startswith("stranger"):
            return "553 5.7.1 not your address"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("unknown"):
            return "550 5.1.1 no such user"
        if address.startswith("full"):
            return "452 4.2.2 the mailbox is full"
        if address.startswith("later") and first(address):
            return "451 4.7.1 greylisted, please come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        names = [to.split("@")[0] for to in envelope.rcpt_tos]
        if "spam" in names:
            return "554 5.7.1 this looks like spam"
        message = email.message_from_bytes(envelope.content)
        say({
            "message_id": message["message-id"],
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "data": envelope.content.decode("utf-8", "replace"),
            "signed_in": session.authenticated,
            "encrypted": server.transport.get_extra_info("ssl_object") is not None,
        })
        for name in names:
            if name.startswith("cut") and first(name):
                server.transport.abort()
                return "250 OK"
            if name.startswith("hold"):
                await asyncio.sleep(3600)
        return "250 2.0.0 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"ana@example.com", b"s3cret")
    return AuthResult(success=good, handled=False)


async def main():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    starttls = mode == "starttls"
    make = lambda: SMTP(
        Handler(),
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=starttls,
        require_starttls=starttls,
        tls_context=context if starttls else None,
        hostname="localhost",
        ident="test",
        enable_SMTPUTF8=False,
    )
    loop = asyncio.get_running_loop()
    server = await loop.create_server(make, "127.0.0.1", 0, ssl=context if mode == "implicit" else None)
    say({"port": server.sockets[0].getsockname()[1]})
    await server.serve_forever()


asyncio.run(main())
