/* SPDX-License-Identifier: Apache-2.0 */

/* Any bytes as a command line. What is accepted can stand in a log line and in a header field. */

#include "fuzz.h"

#include "smtp-command.h"

static void check(const char *s)
{
    for (; s && *s; s++)
        FUZZ_CHECK((unsigned char) *s >= ' ' && *s != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int smtputf8 = 0; smtputf8 < 2; smtputf8++) {
        SmtpCommand command;
        SmtpSyntax syntax = smtp_command_parse((const char *) data, size, smtputf8, &command);

        FUZZ_CHECK(syntax == SMTP_SYNTAX_OK || (!command.name && !command.local && !command.domain && !command.extended));
        FUZZ_CHECK(syntax != SMTP_SYNTAX_OK || command.verb != SMTP_MAIL || command.extended);
        FUZZ_CHECK(syntax != SMTP_SYNTAX_OK || command.verb != SMTP_RCPT || (command.local && *command.local != '\0'));
        check(command.name);
        check(command.local);
        check(command.domain);
        check(command.extended);
        smtp_command_done(&command);
    }
    return 0;
}
