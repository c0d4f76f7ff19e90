/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words between the harness and what runs in a guest. harness/vm/protocol.py has the
 * same ones, and tests/vm/test_protocol.py compares the two.
 */
#ifndef GUEST_PROTOCOL_H
#define GUEST_PROTOCOL_H

/* Lines in the kernel's log begin with WORD_HEAD and one of these. */
#define WORD_HEAD "harness: "
#define WORD_READY "ready"
#define WORD_HERE "here"
#define WORD_BEGIN "begin"
#define WORD_END "end"
#define WORD_STUCK "stuck"
#define WORD_RAN "ran"
#define WORD_SSHD "sshd: "
#define WORD_SSHD_ENDED "error: sshd ended"

/* On the kernel's command line: the key that may log in. */
#define WORD_KEY_OPTION "harness.sshkey="

/* In the environment of a case: how much slower than the reference, in decimal; and set
 * for one that may read its standard input. */
#define WORD_PACE_VARIABLE "HARNESS_PACE"
#define WORD_DIALOGUE_VARIABLE "HARNESS_DIALOGUE"

#endif
