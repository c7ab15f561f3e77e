"""The sentences of conversations about a person (see `conversations`) in Korean and English, in the notation of `grammar`."""

from __future__ import annotations

# two turns each: what one speaker says, and what the other answers
HELLO = (
    (("안녕, {listener:아}!", "Hi, {listener}!"), ("안녕, {partner:아}! 잘 지냈어?", "Hi, {partner}! How have you been?")),
    (("반가워, {listener:아}!", "Good to see you, {listener}!"),
     ("나도 반가워, {partner:아}!", "Good to see you too, {partner}!")),
)  # fmt: skip
OPENING = (
    (("너 {person:full,을} 알아?", "Do you know {person:full}?"),
     ("응, {trait:adnominal} 사람이야.", "Yes, {person:he} is {trait:a} person.")),
    (("{person:full,은} 어떤 사람이야?", "What kind of person is {person:full}?"),
     ("{trait:adnominal} 사람이야.", "{person:He} is {trait:a} person.")),
    (("{person:full} 이야기 들었어?", "Have you heard about {person:full}?"),
     ("아니, 무슨 일 있어? 참 {trait:adnominal} 사람인데.",
      "No, is anything the matter? {person:He} is such {trait:a} person.")),
)  # fmt: skip
GOODBYE = (
    (("고마워, 이제 가 볼게.", "Thank you, I have to go now."), ("그래, 또 보자!", "All right, see you again!")),
    (("그렇구나. 잘 있어, {listener:아}!", "I see. Goodbye, {listener}!"), ("잘 가, {partner:아}!", "Goodbye, {partner}!")),
)

# relation -> the question and its answer; the question that asks for it once more, and its answer; opinions about it
FACTS = {
    "home": (
        (("그 사람은 어디에 살아?", "Where does {person:he} live?"), ("{town:에} 살아.", "{person:He} lives in {town}.")),
        (("아까 어디에 산다고 했지?", "Where did you say {person:he} lives?"),
         ("{town:에} 산다고 했어.", "I said {person:he} lives in {town}.")),
        (("{town:에} 나도 가 보고 싶어.", "I would like to see {town}, too."),),
    ),
    "job": (
        (("그 사람은 무슨 일을 해?", "What is {person:his} job?"), ("{job:이야}.", "{person:He} is {job:a}.")),
        (("아까 직업이 뭐라고 했지?", "What did you say {person:his} job is?"),
         ("{job:이라고} 했어.", "I said {person:he} is {job:a}.")),
        (("나도 {job:이} 되고 싶어.", "I want to become {job:a}, too."),
         ("{job:은} 힘들 것 같아.", "It must be hard to be {job:a}.")),
    ),
    "food": (
        (("무슨 음식을 제일 좋아해?", "Which food does {person:he} like best?"),
         ("{food:을} 제일 좋아해.", "{person:He} likes {food} best.")),
        (("아까 무슨 음식을 좋아한다고 했지?", "Which food did you say {person:he} likes best?"),
         ("{food:을} 좋아한다고 했어.", "I said {person:he} likes {food} best.")),
        (("나도 {food:을} 좋아해.", "I like {food}, too."), ("나는 {food:이} 별로야.", "I do not care for {food}.")),
    ),
    "colour": (
        (("무슨 색을 제일 좋아해?", "Which color does {person:he} like best?"),
         ("{colour:을} 제일 좋아해.", "{person:He} likes {colour} best.")),
        (("아까 무슨 색을 좋아한다고 했지?", "Which color did you say {person:he} likes best?"),
         ("{colour:을} 좋아한다고 했어.", "I said {person:he} likes {colour} best.")),
        (("{colour:은} 참 예쁘지.", "{colour:Cap} is lovely."),
         ("나는 {colour:이} 별로야.", "I do not care for {colour}.")),
    ),
    "hobby": (
        (("틈이 나면 뭘 해?", "What does {person:he} love to do?"),
         ("틈만 나면 {hobby:casual}.", "{person:He} loves to {hobby:base}.")),
        (("아까 취미가 뭐라고 했지?", "What did you say {person:he} loves to do?"),
         ("{hobby:doing} 게 취미라고 했어.", "I said {person:he} loves to {hobby:base}.")),
        (("나도 {hobby:doing} 걸 좋아해.", "I love to {hobby:base}, too."),),
    ),
    "pet": (
        (("그 사람 집에 동물이 있어?", "Does {person:he} keep any animals?"),
         ("응, {pet_name:이라는} {pet:이} 있어.", "Yes, {person:he} keeps {pet:a} called {pet_name}.")),
        (("아까 동물 이름이 뭐라고 했지?", "What did you say {person:his} pet is called?"),
         ("{pet_name:이라고} 했어.", "I said it is called {pet_name}.")),
        (("나도 {pet:을} 기르고 싶어.", "I want to keep {pet:a}, too."),),
    ),
    "friend": (
        (("누구랑 제일 친해?", "Who is {person:his} best friend?"), ("{friend:과} 제일 친해.", "It is {friend}.")),
        (("아까 누구랑 친하다고 했지?", "Who did you say is {person:his} best friend?"),
         ("{friend:과} 친하다고 했어.", "I said it is {friend}.")),
        (("나도 {friend:을} 만나 보고 싶어.", "I would like to meet {friend}, too."),),
    ),
    "treasure": (
        (("보물처럼 아끼는 게 있어?", "Is there anything that {person:he} treasures?"),
         ("{treasure:을} 보물처럼 아껴.", "{person:He} treasures {treasure:a}.")),
        (("아까 뭘 아낀다고 했지?", "What did you say {person:he} treasures?"),
         ("{treasure:을} 아낀다고 했어.", "I said {person:he} treasures {treasure:a}.")),
        (("나도 {treasure:을} 갖고 싶어.", "I want {treasure:a}, too."),),
    ),
}  # fmt: skip
# what one says to an answer, and to one that was given before
REACTION = ("{reaction}", "{reaction}")
AGAIN = (("맞아, 그랬지.", "Right, so you did."), ("그래, 이제 기억나.", "Yes, now I remember."))
