//! Every cause that an explanation can give, with its word and what to do about it, in one table.
//!
//! Programs tell causes apart by the word, so a word is never renamed. docs/PUSH.md has the same table; a test keeps the two alike.

macro_rules! causes {
    ($($name:ident = $word:literal, $means:literal, $advice:literal;)+) => {
        /// Why a device rang or did not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Cause {
            $(#[doc = $means] $name,)+
        }

        impl Cause {
            /// Every cause.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word for it, which stays the same.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// What it means, whatever the device.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $means,)+ }
            }

            /// What to do about it, in one sentence.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)+ }
            }
        }
    };
}

causes! {
    Answered = "answered",
        "The device answered.",
        "Nothing is to be done.";
    Declined = "declined",
        "The device declined.",
        "Nothing is to be done.";
    BusyOnDevice = "busy_on_device",
        "The device said that it is on another call.",
        "Nothing is to be done.";
    Rings = "rings",
        "The device rings now.",
        "Nothing is to be done.";
    RangUnanswered = "rang_unanswered",
        "The device rang until the ring was over, and nobody answered.",
        "Nothing is to be done; a longer ring is call.ring, or ring_seconds of the invite.";
    RangCancelled = "rang_cancelled",
        "The device rang until the caller gave up.",
        "Nothing is to be done.";
    RangAnsweredElsewhere = "rang_answered_elsewhere",
        "The device rang until another one answered.",
        "Nothing is to be done.";
    RangDeclinedElsewhere = "rang_declined_elsewhere",
        "The device rang until another one declined.",
        "To let the others ring on, set call.decline to \"device\".";
    RangUntilEnd = "rang_until_end",
        "The device rang until the call ended for another reason.",
        "The end reason of the call says why.";
    CalledElsewhere = "called_elsewhere",
        "The callee called the caller at the same moment, and the two calls became one.",
        "Nothing is to be done.";
    DoNotDisturb = "do_not_disturb",
        "The device said that it is on Do Not Disturb.",
        "The person can allow calls of this app in the focus settings of the phone.";
    BlockedOnDevice = "blocked_on_device",
        "The device said that its own block list has the caller.",
        "The person can unblock the caller in the settings of the phone.";
    NoPermission = "no_permission",
        "The device said that it lacks a permission to ring.",
        "Ask for the permission again in the app: notifications, full-screen intents, or the calling account.";
    CouldNotRing = "could_not_ring",
        "The device said that it could not ring, for a reason of its own.",
        "The reason is the app's own word: look there what it stands for.";
    WaitingForWord = "waiting_for_word",
        "The push was accepted a moment ago, and the device has not spoken yet.",
        "Ask again in a few seconds.";
    StoppedSoon = "stopped_soon",
        "The call was over before a device could be expected to have rung.",
        "Nothing is to be done: the call was too short to tell anything about this device.";
    CameLate = "came_late",
        "The device first spoke when its ring was over.",
        "The push reached it too late: it was off or without a network, or its system held the push back.";
    SilentIphone = "silent_iphone",
        "The app, which is known to acknowledge rings, said nothing to an accepted push.",
        "See whether the phone is on, online and has the app; if other calls ring on it, iOS may hold back VoIP pushes after \
         rings that the app did not report.";
    SilentAndroid = "silent_android",
        "The app, which is known to acknowledge rings, said nothing to an accepted push.",
        "See whether the phone is on and online; an app that was force-stopped, or that battery saving holds back, gets nothing \
         until it is opened.";
    UnackedIphone = "unacked_iphone",
        "The push was accepted, and this app has never acknowledged a ring.",
        "Let the app post to /v1/calls/{id}/alerting when CallKit has the call; until it does, nobody can tell whether it rang.";
    UnackedAndroid = "unacked_android",
        "The push was accepted, and this app has never acknowledged a ring.",
        "Let the app post to /v1/calls/{id}/alerting when it shows the call; until it does, nobody can tell whether it rang, and \
         it is never pushed again.";
    AlertMode = "alert_mode",
        "The push was an alert, which iOS shows without starting the app.",
        "Nothing can be known of an alert that is not tapped, unless the app has a notification service extension that \
         acknowledges it.";
    SilentInTouch = "silent_in_touch",
        "The device was in touch with the gateway during the ring and said nothing of it.",
        "The app is awake and does not report the ring: see that every VoIP push goes to CallKit, and then to \
         /v1/calls/{id}/alerting.";
    SilentBesideAlert = "silent_beside_alert",
        "The app has used up its VoIP budget, so an alert went beside the VoIP push; it said nothing to either.",
        "The app has long not reported its rings and iOS may have stopped starting it: open it once, and see that every VoIP push \
         goes to CallKit.";
    PushedAgain = "pushed_again",
        "The ring was pushed again, and the device said nothing to any push.",
        "The phone is most likely off, offline or without the app; nothing more can be done from here.";
    OnItsWay = "on_its_way",
        "No provider has answered for the push yet.",
        "Ask again in a second.";
    EndedBeforePush = "ended_before_push",
        "The call was over before a provider had answered for the push.",
        "Nothing is to be done: the call was too short.";
    NoRecord = "no_record",
        "Nothing is recorded of any push.",
        "Look in the gateway's log for this call: it may have been stopped while it pushed, or the record is of an older release.";
    CalleeBusy = "callee_busy",
        "The callee was on another call, so nothing was pushed.",
        "To ring for a second call too, set call.call_waiting.";
    NoToken = "no_token",
        "The device holds no token that rings; its provider has called the last one dead.",
        "The app must register again with a fresh token: it does when it is opened.";
    NoProvider = "no_provider",
        "No section of the configuration is for such a device.",
        "Add a [[push.apns]] section for this app and environment, or a [[push.fcm]] section for this app; `bellwire check` tries it.";
    TokenDead = "token_dead",
        "The provider says that the token is dead: the app was deleted, or has another one by now.",
        "The app must register again with a fresh token: it does when it is opened.";
    TokenInvalid = "token_invalid",
        "The provider says that this is no token.",
        "See that the app registers what the system gave it, whole: the PushKit token in hex, FCM's as it came.";
    RefusedInBothEnvironments = "refused_in_both_environments",
        "Apple's production and sandbox hosts both call the token bad.",
        "See that the app registers the PushKit token as voip_token and the other one as alert_token, each in hex; it must register again.";
    RefusedInOneEnvironment = "refused_in_one_environment",
        "The host of the device's environment calls the token bad, and the other one could not be asked.",
        "Add a [[push.apns]] section for the other environment, or register the device with the right one.";
    WrongTopic = "wrong_topic",
        "The token belongs to another app than the device was registered for.",
        "See that `app` of the registration is the bundle id of the app that runs there.";
    TopicRefused = "topic_refused",
        "The key may not push to this app.",
        "See that team_id and key_id of the [[push.apns]] section are of the team that owns the bundle id.";
    WrongProject = "wrong_project",
        "The token belongs to another Firebase project.",
        "See that the service account is of the project in the app's google-services.json.";
    KeyOfOtherEnvironment = "key_of_other_environment",
        "The APNs key is for the other environment only.",
        "Give the [[push.apns]] section of this environment a key of this environment.";
    CredentialRefused = "credential_refused",
        "The provider does not accept the gateway's credential.",
        "See key, key id, team and clock (APNs) or the service account and its role (FCM). `bellwire check --try` tries either.";
    ThirdPartyCredential = "third_party_credential",
        "Google lacks the credential of another push service behind it.",
        "The token is not of an Android app, or the Firebase project lacks its APNs key: register an iPhone as ios, with its own tokens.";
    NoProject = "no_project",
        "Google knows no such project.",
        "See project_id of the [[push.fcm]] section.";
    PayloadRefused = "payload_refused",
        "The provider calls the push itself wrong.",
        "Keep the metadata of the invite small; if it is, this is a fault of Bellwire: please report it with the reason.";
    TooManyBadTokens = "too_many_bad_tokens",
        "The user registers token after token that Apple calls bad, and is not pushed to for a while.",
        "Find out what registers these tokens; a push to a good one goes out in any case.";
    Throttled = "throttled",
        "The provider takes no more pushes for a while.",
        "See whether something pushes to this device, or with this project or key, far too often.";
    ProviderFailing = "provider_failing",
        "The provider failed for as long as it was tried.",
        "Look at the provider's status page; the gateway tries again by itself.";
    ProviderSilent = "provider_silent",
        "The provider did not answer in time.",
        "Look at the network between the gateway and the provider, and at /readyz.";
    ProviderUnreachable = "provider_unreachable",
        "The provider could not be reached.",
        "Look at DNS, firewall and proxy between the gateway and the provider; `bellwire check` and /readyz say more.";
    HeldBack = "held_back",
        "The provider failed on everything, so that pushes were held back.",
        "The reason says what it failed with; /readyz shows whether it still does.";
    Refused = "refused",
        "The provider refused the push for a reason that Bellwire does not know.",
        "Look the reason up at the provider.";
    BrowserSilent = "browser_silent",
        "The browser was connected when the call began, and said nothing.",
        "See that the page handles call.invited of its event stream and posts to /v1/calls/{id}/alerting.";
    BrowserGone = "browser_gone",
        "The page of the browser was closed or lost its connection during the ring, and was not back in time.",
        "Nothing is to be done if the page was closed; else let it open its event stream again within five seconds.";
    BrowserNotConnected = "browser_not_connected",
        "The browser had no event stream open, and there is no push to browsers.",
        "A browser rings while its page is open and connected to /v1/events.";
    RegisteredLater = "registered_later",
        "The device was registered, or last refreshed, after the call had begun.",
        "Nothing is to be done: the next call rings it.";
    BlockedCaller = "blocked_caller",
        "The callee has blocked the caller, who must not notice.",
        "Only the callee can unblock the caller.";
    CalleeBanned = "callee_banned",
        "The callee is banned, so nothing was pushed.",
        "Lift the ban by DELETE /v1/bans/{user}, if it should not be.";
    NotAddressed = "not_addressed",
        "The call was for another device only, or the callee was banned then.",
        "Call again without callee_device.";
}
