"""The sentences of portraits, guides to towns, and chats (see `story_rows`)."""

from __future__ import annotations

_OPEN = (
    ("open_portrait", 2, "", "이것은 {hero:full,의} 이야기다.", "This is the story of {hero:full}."),
    ("open_portrait", 2, "", "{hero:full,을} 아는 사람은 많다.", "Many people know {hero:full}."),
    ("open_guide", 3, "", "{town:은} {side:에} 있는 {town_mood:adnominal} {town_kind:이다}.",
     "{town} is {town_mood:a} {town_kind} in the {side}."),
    ("open_chat", 4, "", "{speaker}: 안녕, {partner:아}!", "{speaker}: Hi, {partner}!"),
)  # fmt: skip

_PORTRAIT = (
    ("fact", 12, "", "{shown:은} >fact", "{shown:Subj} >fact"),
    ("turn_to", 1.5, "ROOM", "{neighbour:full,은} {self:의} {tie:이다}.", "{neighbour:full} is {tie:a} of {self}."),
    ("turn_back", 1.5, "BACK", "다시 {back:의} 이야기로 돌아가자.", "Let us return to the story of {back}."),
)  # fmt: skip

_FACT = (
    ("f_trait", 1, "F_TRAIT", "{trait:adnominal} 사람이다.", "is {trait:a} person."),
    ("f_home_job", 3, "F_HOME F_JOB", "{home:에} 사는 {job:이다}.", "is {job:a} from {home}."),
    ("f_home", 2, "F_HOME", "{home:에} [살다.present].", "lives in {home}."),
    ("f_job", 2, "F_JOB", "{job:으로} [일하다.present].", "works as {job:a}."),
    ("f_food", 3, "F_FOOD", "무엇보다 {favourite:을} [좋아하다.present].", "likes {favourite} best of all."),
    ("l_likes", 2, "LIKES", "{likes:도} 잘 [먹다.present].", "is also fond of {likes}."),
    ("l_dislikes", 2, "DISLIKES", "{dislikes:을} [싫어하다.present].", "hates {dislikes}."),
    ("l_owns", 2, "OWNS", "{owns:을} 가지고 있다.", "owns {owns:a}."),
    ("f_colour", 2, "F_COLOUR", "색 가운데 {colour:을} 제일 [좋아하다.present].", "loves the color {colour}."),
    ("f_hobby", 3, "F_HOBBY", "틈만 나면 {hobby:present}.", "loves to {hobby:base}."),
    ("f_pet", 3, "F_PET", "{pet_name:이라는} {pet:을} [기르다.present].", "keeps {pet:a} called {pet_name}."),
    ("f_friend", 3, "F_FRIEND", "{friend:full,과} [친하다.plain].", "is good friends with {friend:full}."),
    ("f_treasure", 3, "F_TREASURE", "늘 {treasure:을} 보물처럼 [아끼다.present].", "treasures a certain {treasure}."),
    ("l_visited", 2, "VISITED_TOWNS", "여행으로 {visited:에} 가 본 적이 있다.", "has been to {visited}."),
    ("f_dream", 2, "F_DREAM", "언젠가 {dream:에} 가 보고 싶어 [하다.present].", "hopes to see {dream} one day."),
    ("l_haunts", 2, "HAUNTS", "가끔 {haunts:에} [가다.present].", "sometimes goes to {haunts:the}."),
    ("habit", 4, "", "{any_daytime:에} {gesture:while} {idle:present}.",
     "{idle:third} {any_daytime:at}, {gesture:gerund}."),
    ("habit", 2, "", "{any_daytime:에} {taste} {food:을} [먹다.present].", "eats {taste} {food} {any_daytime:at}."),
)  # fmt: skip

_GUIDE = (
    ("g_middle", 8, "MIDDLE", "한가운데에는 {spot:이} 있다.", "In the middle there is {spot:a}."),
    ("g_spot", 6, "UNMAPPED", "{spot:은} {reference:의} {direction:에} 있다.",
     "{spot:The} is {direction} of {reference:the}."),
    ("g_fixture", 3, "FIXTURE_LEFT", "{bare} 앞에는 {spot_quality} {spot_fixture:이} 있다.",
     "In front of {bare:the} stands {spot_quality:a} {spot_fixture}."),
    ("g_sells", 3, "SELLS_LEFT", "{silent:에서는} {sells:을} [팔다.present].",
     "{silent:The} is the place to buy {sells}."),
    ("g_mood", 2, "MOOD_LEFT", "{season:에는} {plain:이} {spot_mood:plain}.",
     "In {season} {plain:the} is {spot_mood}."),
    ("g_creature", 2, "CREATURE_LEFT", "{empty} 근처에는 {spot_creature:이} [살다.present].",
     "Near {empty:the} live {spot_creature:plural}."),
    ("g_resident", 1.5, "RESIDENT", "{this_town:에는} {resident:full,이} [살다.present].",
     "{resident:full} lives in {this_town}."),
    ("g_famous", 1, "FAMOUS", "{this_town:은} {famous:으로} [유명하다.plain].", "{this_town} is famous for {famous}."),
    ("g_busy", 1, "MAPPED", "{any_daytime:에는} {mapped:에} 사람이 많다.",
     "Many people come to {mapped:the} {any_daytime:at}."),
    ("g_once", 4, "MAPPED", "어느 {season:날} {mapped:에} {look} {creature_any:이} [나타나다.past].",
     "One {season} day {look:a} {creature_any} appeared {mapped:at}."),
    ("g_lost", 4, "MAPPED", "누군가 {mapped:에서} {wanted_quality} {wanted_thing:을} [잃어버리다.past].",
     "Somebody lost {wanted_quality:a} {wanted_thing} {mapped:at}."),
)  # fmt: skip


def _reply(*rows: tuple[str, float, str, str]) -> tuple:
    """Turns of a chat: each starts with the name of the speaker."""
    return tuple((name, weight, "", "{self}: " + ko, "{self}: " + en) for name, weight, ko, en in rows)


_CHAT = {
    "chat_hello": _reply(
        ("c_hello", 2, "안녕, {listener:아}! >chat_ask", "Hi, {listener}! >chat_ask"),
        ("c_hello", 1, "반가워, {listener:아}! >chat_ask", "Good to see you, {listener}! >chat_ask"),
    ),
    "chat_ask": (
        ("c_bye", 5, "TALKED", "이제 가야겠어. 잘 있어, {listener:아}!", "I have to go now. Goodbye, {listener}!"),
        ("c_ask_day", 6, "ASK_DAY", "오늘 뭐 했어?", "What did you do today?"),
        ("c_ask_feeling", 3, "ASK_FEELING", "오늘 기분이 어때?", "How do you feel today?"),
        ("c_ask_home", 2, "R_HOME", "어디 살아?", "Where do you live?"),
        ("c_ask_job", 2, "R_JOB", "무슨 일을 해?", "What is your job?"),
        ("c_ask_food", 2, "R_FOOD", "제일 좋아하는 음식이 뭐야?", "What is your favorite food?"),
        ("c_ask_colour", 2, "R_COLOUR", "무슨 색을 좋아해?", "What color do you like?"),
        ("c_ask_hobby", 2, "R_HOBBY", "취미가 뭐야?", "What is your hobby?"),
        ("c_ask_pet", 2, "R_PET", "집에 동물이 있어?", "Do you keep any animals?"),
        ("c_ask_friend", 2, "R_FRIEND", "누구랑 제일 친해?", "Who is your best friend?"),
        ("c_ask_treasure", 2, "R_TREASURE", "네 보물은 뭐야?", "What is your treasure?"),
        ("c_ask_choice", 3, "", "{food:과} {food2} 중에서 뭐가 더 좋아?",
         "Which do you like better, {food} or {food2}?"),
        ("c_ask_third", 3, "", "{third:full,을} 알아?", "Do you know {third:full}?"),
        ("c_invite", 4, "NOT_INVITED", "같이 {place:에} 갈래?", "Shall we go to {place:the}?"),
        ("c_ate", 5, "", "나는 어제 {taste} {food:을} 먹었어. 너는?", "I ate {taste} {food} yesterday. And you?"),
        ("c_told", 5, "", "꿈에서 {look} {creature_any:을} 봤어.", "I saw {look:a} {creature_any} in a dream."),
        ("c_wish", 4, "", "{wanted_quality} {wanted_thing:을} 갖고 싶어.", "I want {wanted_quality:a} {wanted_thing}."),
        ("c_when", 5, "INVITED", "그런데 우리 {invited:에} 언제 갈까?",
         "By the way, when shall we go to {invited:the}?"),
        ("c_where_bought", 5, "CHAT_ITEM", "그런데 그 {chat_item:은} 어디서 샀다고 했지?",
         "By the way, where did you say you bought {chat_item:that}?"),
        ("c_love", 1, "ASK_LOVE", "나는 너를 정말 좋아해.", "I like you very much."),
    ),
    "chat_react": _reply(
        ("react", 5, "{reaction} >chat_ask", "{reaction} >chat_ask"),
        ("react", 3, "그래. >chat_ask", "All right. >chat_ask"),
    ),
    "chat_settled": _reply(
        ("settled", 1, "그래, 알았어. >chat_ask", "All right then. >chat_ask"),
        ("settled", 1, "응. >chat_ask", "Yes. >chat_ask"),
    ),
    "chat_ate": _reply(
        ("c_answer", 4, "나는 {taste} {food:을} 먹었어.", "I ate {taste} {food}."),
        ("c_answer", 1, "아무것도 안 먹었어.", "I did not eat anything."),
    ),
    "chat_wish": _reply(
        ("c_answer", 2, "나는 {sold_any_quality} {sold_any_thing:이} 더 좋아.",
         "I would rather have {sold_any_quality:a} {sold_any_thing}."),
        ("c_answer", 1, "나도 갖고 싶어.", "I want one, too."),
    ),
    "chat_pity": _reply(("pity", 1, "{pity} >chat_ask", "{pity} >chat_ask")),
    "chat_bye": _reply(
        ("c_end", 2, "잘 가, {listener:아}!", "Goodbye, {listener}!"),
        ("c_end", 1, "그래, 또 보자!", "All right, see you again!"),
    ),
    "chat_day": _reply(
        ("c_bought", 3, "{shop:에서} {sold_quality} {sold_thing:을} 샀어.",
         "I bought {sold_quality:a} {sold_thing} {shop:at}."),
        ("c_sad", 2, "{sold_any_quality} {sold_any_thing:을} 잃어버렸어.",
         "I lost {sold_any_quality:a} {sold_any_thing}."),
        ("c_answer", 2, "{place:에} 갔다 왔어.", "I went to {place:the}."),
        ("c_answer", 2, "집에서 {gesture:while} {idle:past_casual}.", "I {idle:past} at home, {gesture:gerund}."),
        ("c_answer", 3, "아침에 {taste} {food:을} 먹었어.", "I ate {taste} {food} in the morning."),
        ("c_answer", 3, "길에서 {look} {creature_any:을} 봤어.", "I saw {look:a} {creature_any} on the way."),
        ("c_answer", 2, "{manner} {drink:을} 마셨어.", "I drank {drink} {manner}."),
    ),
    "chat_feeling": _reply(
        ("c_answer", 3, "좀 {glad:casual}.", "I feel rather {glad}."),
        ("c_sad", 3, "좀 {sad:casual}.", "I feel rather {sad}."),
        ("c_sad", 1, "너무 {body:casual}.", "I am too {body}."),
    ),
    "chat_home": _reply(("c_answer", 1, "{home:에} 살아.", "I live in {home}.")),
    "chat_job": _reply(("c_answer", 1, "나는 {job:이야}.", "I am {job:a}.")),
    "chat_food": _reply(("c_answer", 1, "{favourite:을} 제일 좋아해.", "I like {favourite} best.")),
    "chat_colour": _reply(("c_answer", 1, "{colour:을} 좋아해.", "I like {colour}.")),
    "chat_hobby": _reply(("c_answer", 1, "{hobby:doing} 걸 좋아해.", "I love to {hobby:base}.")),
    "chat_pet": _reply(("c_answer", 1, "{pet_name:이라는} {pet:이} 있어.", "I have {pet:a} called {pet_name}.")),
    "chat_friend": _reply(("c_answer", 1, "{friend:full,과} 제일 친해.", "My best friend is {friend:full}.")),
    "chat_treasure": _reply(("c_answer", 1, "{treasure:이야}.", "It is {treasure:my}.")),
    "chat_choice": _reply(("c_answer", 1, "{options:이} 더 좋아.", "I like {options} better.")),
    "chat_third": _reply(
        ("c_answer", 3, "응, {asked:은} {asked_trait:adnominal} 사람이야.", "Yes, {asked} is {asked_trait:a} person."),
        ("c_answer", 1, "아니, {asked:은} 잘 몰라.", "No, I do not really know {asked}."),
    ),
    "chat_invited": _reply(
        ("c_accept", 3, "좋아, 같이 가자.", "Sure, let us go together."),
        ("c_refuse", 1, "미안, 오늘은 바빠.", "Sorry, I am busy today."),
    ),
    "chat_when": _reply(("c_answer_when", 1, "내일 {any_daytime:에} 가자.", "Let us go {any_daytime:at} tomorrow.")),
    "chat_where_bought": _reply(("c_told_where", 1, "{own_origin:에서} 샀어.", "I bought it {own_origin:at}.")),
    "chat_love": _reply(
        ("c_answer", 2, "나도 너를 좋아해.", "I like you too."),
        ("c_answer", 1, "고마워.", "Thank you."),
    ),
}

SECTIONS = {"portrait": _PORTRAIT, "fact": _FACT, "guide": _GUIDE, **_CHAT}
OPEN = _OPEN
