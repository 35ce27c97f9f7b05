/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* MESSAGE_IDs of the events an administrator acts on. Each has an entry in units/postern.catalog; a test compares.
 * New ones: `systemd-id128 new`. Ids are API and never change their meaning. */

#define MESSAGE_RECEIVED_ID "4846439538644545bc8dff4352962094"
#define MESSAGE_DELIVERED_ID "c4b1c74fa66949429960926cef60c8f8"
#define MESSAGE_DEFERRED_ID "6c7647b4332a4c999fea66d35af8b76a"
#define MESSAGE_BOUNCED_ID "7a601983444046f2b384157965905cf4"
#define TLS_REQUIRED_REFUSED_ID "a435f4d695724555bf044e3107594c3f"
#define CLIENT_NOT_VERIFIED_ID "92f68e3a5c6e4aec8dcdf730a5f004a1"
#define CLIENT_CERTIFICATE_MISSING_ID "c8beede35d9c4998ab5cb318191370ce"
#define DEMO_CERTIFICATE_ID "a9ec3eab5393446683f0c4e2824dabaa"
#define CERTIFICATE_EXPIRES_ID "4966ffb92d7e41238cc2d8709bd258bc"
#define CERTIFICATE_EXPIRED_ID "8642bde8152b46bd94ab01381a2e8a65"
#define SIGNATURE_REFUSED_ID "bbc3cfe5dee2407a839786906cf7398f"
#define CONFIGURATION_INVALID_ID "69e4172c417c4fe2a08d9424f6fb0b73"
#define WORKER_DIED_ID "d8bbe1637a134288aa4cff1f46486993"
#define PEER_DROPPED_ID "c42e1cb86bf8476dbe85af03b0c66482"
#define ALERT_RAISED_ID "8a1b7f1ebaca4f448d7ae82af324ba53"
