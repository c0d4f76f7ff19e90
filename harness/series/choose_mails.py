# SPDX-License-Identifier: GPL-2.0-only
"""Which mails of a thread are the series: b4's decision, the kernel maintainers' own tool.

As a library it puts the patches of a mailbox together: what answers what, which letter is the
cover letter, what a resend of a part goes on. It is told not to use the network for that, and
reads no configuration. Review trailers are not added: what was posted is what is tested.

b4 0.16 decides wrongly in the cases that are settled here before it is asked:

* The same patch twice under one number: it takes the second for one patch more
  (``LoreSeries.add_patch``); a patch with no number: for the first of the series.
* Versions: it takes the one that was sent last, not the highest (``get_latest_revision``), knows
  no ``v2.1``, and goes back from v4 to v3 only, where v3 may not be there.
* A mail without a message-id, or with an impossible date, is an exception.
* A patch that is missing is a warning, and the rest is written (``make_am``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from email.message import EmailMessage

from harness.core.errors import InvocationError
from harness.series.diff import identity
from harness.series.mail import Mail
from harness.series.mailbox import described

_DATE = "Sat, 1 Jan 2000 00:00:00 +0000"


@dataclass(frozen=True)
class PostedSeries:
    """The mails that are the series, in order, and what has to be said about the choice."""

    patches: tuple[Mail, ...]
    letter: Mail | None
    remarks: tuple[str, ...]


def choose(mails: Sequence[Mail], where: str) -> PostedSeries:
    """The newest whole version among the mails of a mailbox.

    Raises:
        InvocationError: there is no patch, or nothing says which patches belong together;
            lists what is there.
    """
    # "v6.1" alone is a version, unless another mail says "v6.1 v2".
    kernels = {mail.subject.kernel for mail in mails if mail.subject.kernel}
    plain = [
        replace(mail, subject=replace(mail.subject, version=None))
        if mail.subject.version in kernels
        else mail
        for mail in mails
    ]
    return _Choice(plain, where).thread()


def _version(mail: Mail) -> tuple[int, ...]:
    return mail.subject.version or (1,)


def _shown(version: tuple[int, ...]) -> str:
    return "v" + ".".join(map(str, version))


class _Choice:
    def __init__(self, mails: Sequence[Mail], where: str) -> None:
        self.mails, self.where = mails, where
        self.remarks: list[str] = []

    def unclear(self, why: str) -> InvocationError:
        """The refusal, with what is in the mailbox."""
        return InvocationError(
            f"{self.where}: {why}. It holds:\n{described(self.mails)}",
            next_step="save the mails of one version to a mailbox of their own, "
            "or give SERIES= its message-id",
        )

    def thread(self) -> PostedSeries:
        patches = [mail for mail in self.mails if mail.is_patch]
        if not patches:
            raise self.unclear("there is no patch in it")
        if not any(mail.subject.count for mail in patches):
            chosen, letter = self._unnumbered(patches)
        else:
            chosen, letter = self._numbered(patches)
        if talk := sum(mail.has_diff and not mail.is_patch for mail in self.mails):
            kind = "answer or letter" if talk == 1 else "answers or letters"
            self.remarks.append(f"{talk} {kind} with a diff left out: no patch")
        bare = [m for m in self.mails if m.subject.patch and not m.has_diff and not m.subject.reply]
        if empty := sum(mail.subject.count is None for mail in bare):
            kind = (
                "mail that calls itself a patch" if empty == 1 else "mails that call themselves so"
            )
            self.remarks.append(f"{empty} {kind} left out: it has no diff")
        return PostedSeries(tuple(chosen), letter, tuple(self.remarks))

    def _unnumbered(self, patches: list[Mail]) -> tuple[list[Mail], Mail | None]:
        """Patches without numbers, in the order that they are in."""
        newest = max(map(_version, patches))
        chosen = self._once([mail for mail in patches if _version(mail) == newest])
        older = self._left({_version(mail) for mail in patches} - {newest})
        if older or len(chosen) > 1:
            how = "in the order that they are in: they have no numbers"
            self.remarks.append(f"{_shown(newest)}, {len(chosen)} patches, {how}{older}")
        by_id = {mail.message_id: mail for mail in chosen}
        for mail in chosen:
            for above in (by_id[answer] for answer in mail.answers if answer in by_id):
                if above.sender != mail.sender:
                    raise self.unclear("a patch answers another one's, and none has a number")
        return chosen, next(iter(self._letters({newest})), None)

    def _letters(self, versions: set[tuple[int, ...]]) -> list[Mail]:
        """The cover letters of these versions."""
        return [
            mail
            for mail in self.mails
            if mail.subject.count and mail.subject.count[0] == 0
            if not mail.subject.reply and _version(mail) in versions
        ]

    def _numbered(self, patches: list[Mail]) -> tuple[list[Mail], Mail | None]:
        ids = {mail.message_id for mail in self.mails}
        loose = [mail for mail in patches if mail.subject.count is None]
        patches = [mail for mail in patches if mail.subject.count is not None]
        if any(not ids & set(mail.answers) for mail in loose):
            raise self.unclear("some patches have a number and some have none")
        if loose:
            self.remarks.append(f"{len(loose)} patches without a number left out: answers")
        versions = sorted(set(map(_version, patches)))
        newest = versions[-1]
        kept: list[Mail] = []
        for version in versions:
            kept.extend(self._of_version([m for m in patches if _version(m) == version], newest))
        chosen, letter, partial = self._put_together(kept, versions)
        old = [mail for mail in kept if _version(mail) != newest]
        new = [mail for mail in kept if _version(mail) == newest]
        if old and not partial and not self._related(old, new):
            raise self.unclear("there are two series in it")
        said = f"b4: {_shown(newest)}, {len(chosen)} patches"
        said += ", with its cover letter" if letter else ""
        if partial:
            numbers = ", ".join(str(mail.subject.count[0]) for mail in new if mail.subject.count)
            others = sorted({_version(mail) for mail in chosen} - {newest})
            said += f"; {numbers} sent again, the others are those of "
            said += " and ".join(map(_shown, others))
        self.remarks.append(said + self._left(versions[:-1] if not partial else []))
        return chosen, letter

    def _left(self, older: Iterable[tuple[int, ...]]) -> str:
        """The versions that are left out, as the end of a remark."""
        left = ", ".join(map(_shown, sorted(older)))
        return f"; left out: {left}" if left else ""

    def _of_version(self, mails: list[Mail], newest: tuple[int, ...]) -> list[Mail]:
        """The patches of a version, each number once. Older versions need not be clear."""
        slots: dict[tuple[int, int], list[Mail]] = defaultdict(list)
        for mail in mails:
            slots[mail.subject.count or (0, 0)].append(mail)
        one_each = {slot: self._once(same) for slot, same in slots.items()}
        shown = _shown(_version(mails[0]))
        if _version(mails[0]) == newest:
            for (number, of), same in one_each.items():
                if len(same) > 1:
                    raise self.unclear(f"{number}/{of} of {shown} is there as different patches")
            if len({of for _, of in slots}) > 1:
                raise self.unclear(f"{shown} is there with different numbers of patches")
        return [same[0] for same in one_each.values()]

    def _once(self, mails: list[Mail]) -> list[Mail]:
        """The mails less those that have the same diff as one before."""
        if len(mails) == 1:
            return mails
        first: dict[str, Mail] = {}
        for mail in mails:
            first.setdefault(identity(mail.text), mail)
        kept = list(first.values())
        if len(kept) < len(mails):
            said = "the same mail twice: taken once"
            if said not in self.remarks:
                self.remarks.append(said)
        return kept

    def _related(self, old: list[Mail], new: list[Mail]) -> bool:
        """Whether two versions have a subject or a thread in common, or the letters have."""

        def about(mails: list[Mail]) -> set[str]:
            posted = (*mails, *self._letters(set(map(_version, mails))))
            ids = {one for mail in posted for one in (mail.message_id, *mail.answers) if one}
            return ids | {mail.subject.plain.lower() for mail in posted}

        return bool(about(old) & about(new))

    def _put_together(
        self, patches: list[Mail], versions: list[tuple[int, ...]]
    ) -> tuple[list[Mail], Mail | None, bool]:
        """What b4 makes of it: the patches, the cover letter, and whether a part was sent again."""
        import b4  # 0.3 s, and only mailboxes need it

        b4.can_network = False
        b4.logger.disabled = True  # it speaks of merging; what it decided is in our remarks
        # Ids of our own: of a damaged one b4 takes a part. Patches whose ids are the same are two.
        wanted = {id(mail) for mail in patches}
        own = [(f"{number}@localhost", mail) for number, mail in enumerate(self.mails)]
        ids: dict[str, str] = {}
        for mail_id, mail in sorted(own, key=lambda pair: id(pair[1]) not in wanted):
            ids.setdefault(mail.message_id or mail_id, mail_id)
        known: dict[str, Mail] = {}
        box = b4.LoreMailbox()
        for mail_id, mail in own:
            again = ids[mail.message_id or mail_id] != mail_id
            if id(mail) not in wanted and (mail.is_patch or again):
                continue
            known[mail_id] = mail
            above = next((ids[answer] for answer in mail.answers if answer in ids), None)
            box.add_message(_for_b4(mail, mail_id, above, versions))
        rank = len(versions)
        made = box.get_series(rank, codereview_trailers=False)
        slots = made.patches if made else [None]
        missing = [str(number) for number, patch in enumerate(slots) if number and not patch]
        if made is None or missing:
            raise self.unclear(
                f"{_shown(versions[-1])} is not whole: {', '.join(missing)} of "
                f"{len(slots) - 1} is missing"
            )
        letter = known.get(slots[0].msgid) if slots[0] else None
        return [known[p.msgid] for p in slots[1:] if p], letter, made.partial_reroll


def _for_b4(
    mail: Mail, mail_id: str, above: str | None, versions: list[tuple[int, ...]]
) -> EmailMessage:
    """What b4 has to know of a mail, in words that it reads rightly."""
    subject, version = mail.subject, _version(mail)
    message = EmailMessage()
    rank = versions.index(version) + 1 if version in versions else len(versions) + 1
    count = "{}/{}".format(*subject.count) if subject.count else ""
    answer = "Re: " if subject.reply or (mail.is_patch and not subject.count) else ""
    plain = re.sub(r"[^ -~]|[\[\]=]", "?", subject.plain)[:200]
    message["Subject"] = f"{answer}[PATCH v{rank} {count}] {plain}"
    message["From"] = re.sub(r"[^\w.@+-]", "?", mail.sender, flags=re.ASCII) or "nobody"
    message["Date"] = _DATE
    message["Message-Id"] = f"<{mail_id}>"
    if above:
        message["In-Reply-To"] = f"<{above}>"
    # Whether there is a diff is known; what is in it is not b4's matter.
    message.set_content("diff --git a/x b/x\n" if mail.is_patch else "Talk.\n")
    return message
