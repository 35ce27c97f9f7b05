/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The named errors of the suite's bus interfaces, on the peer sockets and on the system bus alike. Names are API:
 * callers compare them, man pages list them. */

#define BUS_ERROR_UNKNOWN_CALLER "org.postern.Error.UnknownCaller"
#define BUS_ERROR_ACCESS_DENIED "org.postern.Error.AccessDenied"
#define BUS_ERROR_UNAVAILABLE "org.postern.Error.Unavailable"
#define BUS_ERROR_INVALID_ARGUMENT "org.postern.Error.InvalidArgument"
#define BUS_ERROR_LIMIT_EXCEEDED "org.postern.Error.LimitExceeded"
#define BUS_ERROR_CONFIGURATION_INVALID "org.postern.Error.ConfigurationInvalid"
#define BUS_ERROR_NOT_A_HANDSHAKE "org.postern.Error.NotAHandshake"
#define BUS_ERROR_KEY_NOT_ASSIGNED "org.postern.Error.KeyNotAssigned"
#define BUS_ERROR_NO_SUCH_AUTHORITY "org.postern.Error.NoSuchAuthority"
#define BUS_ERROR_NO_SUCH_CERTIFICATE "org.postern.Error.NoSuchCertificate"
#define BUS_ERROR_NO_SUCH_MESSAGE "org.postern.Error.NoSuchMessage"
#define BUS_ERROR_NO_STS_POLICY "org.postern.Error.NoStsPolicy"
#define BUS_ERROR_QUEUE_FULL "org.postern.Error.QueueFull"
#define BUS_ERROR_NO_SPACE "org.postern.Error.NoSpace"
#define BUS_ERROR_STILL_WRITABLE "org.postern.Error.StillWritable"
#define BUS_ERROR_CERTIFICATE_EXISTS "org.postern.Error.CertificateExists"
#define BUS_ERROR_CERTIFICATE_IN_USE "org.postern.Error.CertificateInUse"
#define BUS_ERROR_CERTIFICATE_INVALID "org.postern.Error.CertificateInvalid"
#define BUS_ERROR_NO_REQUEST "org.postern.Error.NoRequest"
#define BUS_ERROR_NOT_SUPPORTED "org.postern.Error.NotSupported"
#define BUS_ERROR_TOO_LARGE "org.postern.Error.TooLarge"
#define BUS_ERROR_CERTIFICATE_EXPIRED "org.postern.Error.CertificateExpired"
#define BUS_ERROR_CHAIN_INCOMPLETE "org.postern.Error.ChainIncomplete"
#define BUS_ERROR_EXPORT_FORBIDDEN "org.postern.Error.ExportForbidden"
#define BUS_ERROR_WRONG_KEY "org.postern.Error.WrongKey"
#define BUS_ERROR_WRONG_PASSPHRASE "org.postern.Error.WrongPassphrase"
